"""An open-loop load test of a server over HTTP, without torch in the requests' way."""
