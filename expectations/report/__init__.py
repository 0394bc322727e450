"""The report: what is not as usual, and what was held back; a site for people, a line for who is on call."""
