"""The pure half: what events add up to. No engine, no clock, no network; time is handed in."""
