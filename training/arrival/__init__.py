"""Data that arrives: read from files, checked, and added to a data set of the registry or refused.

```python
arrival = arrive(Datasets(registry), "clothes", Path("part/"), Against(model=revision, tests=tests))
arrival.report.accepted, arrival.report.refusals     # sentences; empty where it was accepted
arrival.version                                      # with the part; None where it was refused
arrival.is_new                                       # False: it came before, nothing was done
```
"""
