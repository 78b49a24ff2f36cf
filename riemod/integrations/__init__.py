"""Callbacks for other people's training loops; each file needs the library that it is named after."""
