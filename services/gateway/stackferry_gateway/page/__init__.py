"""The page: what the API answers, for people in a browser. Server-rendered; it works without JavaScript."""
