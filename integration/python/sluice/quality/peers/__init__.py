"""Peers, each re-implemented from its paper or format so that it can be read in a minute; every bit it would send is counted."""
