"""What a person sees and clicks: the sections of the panel. The only part that uses Qt for more than dialogs."""
