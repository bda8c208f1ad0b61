"""What a bridge holds: flows, their bytes, their text, their meaning and their difference."""
