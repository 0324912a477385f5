"""From a click or a script to the written result: what is asked for, checked, run and taken back."""
