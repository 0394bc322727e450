"""The sample shop: a catalogue, its pictures and simulated shoppers, to see every block at work without a shop."""
