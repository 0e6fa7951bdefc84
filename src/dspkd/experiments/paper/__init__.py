"""The tables of the DSP-KD paper: its figures, ours, and which of its figures are impossible."""
