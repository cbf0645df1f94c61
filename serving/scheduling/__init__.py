"""Who is answered next, with whom, and who is told to come again; drawn in ``docs/scheduling.md``.

``admission`` bounds what is in progress, ``refusals`` paces the answers to those for whom there is
no room, ``batching`` puts requests together, ``policy`` says how many, and ``polling`` keeps an
event loop awake where somebody has asked for that. The threads that compute are the predictor's:
``predictor.workers``.
"""
