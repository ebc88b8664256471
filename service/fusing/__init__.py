"""The one path of every fusion, whoever asks for it: what is asked, how it is run, what is told."""
