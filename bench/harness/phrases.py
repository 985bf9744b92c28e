"""What is said in the synthetic calls: callers' words to fill in, and the fake model's answers. No chance, no times.

Openings that many callers use word for word are a list of their own: those are what an answer cache can know. All
others have a slot to fill in, so that hardly two calls say the same.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ANSWERS", "COMMON", "LATER", "LEADS", "OPENINGS", "SLOTS"]

COMMON: Final = (
    "What are your opening hours?",
    "Where can I park my car?",
    "Which insurance plans do you take?",
    "What is the address of the clinic?",
    "Are you open on the weekend?",
    "Do I need an appointment to come in?",
    "How can I cancel my appointment?",
    "Are you taking new patients at the moment?",
)

OPENINGS: Final = (
    "I would like to make an appointment for {name} on {day}.",
    "Hi, my name is {name} and I need to see someone about {trouble}.",
    "Could you tell me whether {doctor} is in on {day}?",
    "I have had {trouble} since {day} and it is getting worse.",
    "My son {name} has {trouble}, can he be seen today?",
    "I am calling about the letter you sent to {name} last week.",
    "Can I move my appointment from {day} to {day2}?",
    "I need a new prescription for {name}, please.",
    "Is {doctor} the right person to see for {trouble}?",
    "I missed a call from you on {day}, this is {name}.",
    "Do you have anything free with {doctor} before {day}?",
    "My mother, {name}, needs a check before she travels on {day}.",
    "I want to ask about the results of {name} from {day}.",
    "How long do I have to wait to see {doctor} about {trouble}?",
    "We are new in town, the family of {name}, and we would like to register.",
    "I was with {doctor} on {day} and I left my scarf there.",
    "Can {doctor} call me back about my {trouble}?",
    "I need a note for work because of {trouble}, the name is {name}.",
    "Does {doctor} see children with {trouble} as well?",
    "My daughter {name} cannot come on {day}, what can we do?",
    "I would like to speak about a bill for {name}.",
    "Is it possible to see {doctor} on {day} after school?",
    "I am a friend of {name}, who has an appointment on {day}.",
    "Could someone explain the tablets that {doctor} gave me on {day}?",
    "I think I have {trouble} and I am a little worried.",
    "Could I bring {name} along to my visit on {day}?",
    "I would rather see {doctor} than anybody else about {trouble}.",
    "Who do I talk to about a referral for {name}?",
    "You asked me to call again about {trouble} on {day}.",
    "My husband {name} would like a vaccination on {day}.",
    "Can you check whether {name} is on the list for {day}?",
    "I am at the station, how do I get to {doctor} from here?",
)

LATER: Final = (
    "Yes, {day} in the {part} would be good for {name}.",
    "No, on {day} I have to work until late.",
    "Could you spell the name of {doctor} for me?",
    "And what should I bring along when I come for {trouble}?",
    "That is kind of you, and how long will it take with {doctor}?",
    "My name is {name} and I was there on {day} before.",
    "Is there a way to do that with {doctor} in the {part}?",
    "It started on {day}, first {trouble} and then a headache.",
    "Let me think, {day2} might be better than {day}.",
    "Would {doctor} need to see my old papers from {place}?",
    "I come from {place}, so the {part} of {day} suits me better.",
    "Can I bring {name} with me on {day}?",
    "So that is {day} in the {part} with {doctor}, right?",
    "I am not sure whether {doctor} has my number in {place}.",
    "What happens if {name} is late in the {part}?",
    "All right, please put down {name} for {day} then.",
    "Do I pay at the desk or do you send it to {place}?",
    "Is {trouble} something that you can treat at the clinic?",
    "Someone in {place} told me to ask for {doctor}.",
    "One more thing, can {name} have the same time on {day2}?",
)

LEADS: Final = (
    "Thank you for picking up.",
    "I hope you can help me.",
    "That sounds good to me.",
    "I have been there before.",
    "I see what you mean.",
    "It is quite urgent, I think.",
    "I have my diary here.",
)
"""A sentence of its own before the rest."""

SLOTS: Final = {
    "name": (
        "Anna Keller", "Tom Baker", "Maria Lopez", "Peter Novak", "Lucy Grant", "Omar Haddad", "Nina Petrova",
        "Sam Porter", "Ella Wood", "Jonas Berg", "Rosa Marino", "Paul Hughes", "Ines Costa", "David Stern",
        "Clara Blum", "Victor Lang", "Sofia Reyes", "Martin Shaw", "Grace Osei", "Hugo Martens", "Leila Aziz",
        "Frank Doyle", "Irene Fox", "Karim Nasser", "Julia Sand", "Oscar Lind", "Marta Vidal", "Ben Archer",
    ),
    "doctor": (
        "Doctor Lee", "Doctor Patel", "Doctor Moreau", "Doctor Adams", "Doctor Klein", "Doctor Rossi",
        "Doctor Young", "Doctor Silva",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
    "day2": ("the Monday after", "the Tuesday after", "the week after", "the Friday after", "the next day"),
    "part": ("early morning", "late morning", "early afternoon", "late afternoon", "evening"),
    "trouble": (
        "a sore throat", "back pain", "a bad cough", "a rash on the arm", "an ear ache", "a twisted ankle",
        "a fever at night", "a stiff neck", "trouble sleeping", "a cut on the hand", "hay fever", "a swollen knee",
    ),
    "place": ("Riverside", "Oakfield", "the old town", "Millbrook", "Eastgate", "Ashford", "Newport", "the harbor"),
}  # fmt: skip

ANSWERS: Final = (
    "We are open every weekday from nine until five. On Saturday we close at noon. Shall I book you in?",
    "You can park your car right behind the building. The first hour is free for patients.",
    "Let me see what I can find for you. There is a free slot on Thursday. Would that suit you?",
    "I can certainly note that down for the team. Someone will call you back before noon tomorrow.",
    "Yes, that should not be a problem at all. Please bring your card and your current papers with you.",
    "The doctor has time for you on Tuesday morning. It takes about half an hour. Does that work?",
    "I am sorry to hear that, that sounds painful. Have you taken anything for it so far?",
    "Most of the larger insurance plans are fine here. Just bring your card when you come in.",
    "Thank you, I have found your file right here. What can I change in it for you?",
    "That is all done for you now, thank you. You will get a message with the details in a moment.",
    "It is best to come in a little earlier. The desk will have a short form for you to fill in.",
    "We can do that in the late afternoon too. The last visit begins half an hour before we close.",
)
"""Two or three sentences, the first of six to ten words; none begins as one of the server's fixed lines does."""
