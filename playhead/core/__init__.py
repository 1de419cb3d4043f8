"""Records, errors, settings, sentences, timecodes, permissions and the engine protocols.

Everything in this package is a value or a pure function and imports nothing else of Playhead.
"""
