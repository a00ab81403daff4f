"""What all tiers share: validation, names, buffers and text."""
