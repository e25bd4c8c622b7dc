"""Models: loading and saving, encoders."""
