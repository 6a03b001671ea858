"""`reco verify`: recounts the source log and compares every row of every table.

It shares with the engine the pure rules (`tables.fold`, `events.decode_event`) and the form of the marker, nothing of
the way in which records travel; for popularity and dedupe it counts a second time without the rules.
"""
