"""Callbacks for other libraries' training loops. Each file needs the library that it is named after."""
