"""`blueprint validate`: a set-up is proved on spare servers, topic by topic, and what was seen is reported."""
