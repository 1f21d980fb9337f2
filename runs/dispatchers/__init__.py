"""Where a run's body is executed: in this process, at a sibling, or at any URL.

A dispatcher is asked by :func:`runs.dispatchers.choose.choose`; a new kind (a workflow shipped by a plugin, run in a
sandbox store) is one more module with a class that has ``dispatch``, and one more line there.
"""
