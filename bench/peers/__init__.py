"""Servers in the shapes people use today, written for this bench, to be measured in the same run as ours."""
