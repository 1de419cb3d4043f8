"""Records, errors, settings, sentences, timecodes, permissions and the protocols of engines.

Everything here is a value or a pure function, and imports nothing else of Playhead.
"""
