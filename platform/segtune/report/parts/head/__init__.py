"""The head of a section: what a reader sees before anything else.

first_screen  Every arm in a line: difference, verdict, memory and time; of many arms a forest too.
ran           What ran, and what a reader must know before any number.
"""
