"""What people are told, in the same words by every face: sizes and times, events, what stays behind. Pure."""
