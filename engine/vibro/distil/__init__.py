"""A small student of an ensemble's score: the network, and the script that scores with it where only numpy is."""
