"""The first import of the room: without its optional libraries it says so at once, and how to get them."""

from riemod._machine import check_libraries

check_libraries("riemod.topology", "topology", "gudhi", "ripser", "sklearn")
