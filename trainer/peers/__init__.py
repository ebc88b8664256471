"""Networks of other publications, trained here to be compared with; none of them is served."""
