"""The demo: a made-up help desk whose world changes halfway through."""
