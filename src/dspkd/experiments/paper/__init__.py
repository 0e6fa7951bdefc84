"""The tables of the DSP-KD paper: its figures, ours, and which claims cannot be."""
