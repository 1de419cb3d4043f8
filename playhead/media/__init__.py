"""Files of sound: where they are kept, what they are, how they are decoded."""
