"""FastAPI as its documentation shows it: one function a request, no batching."""

from __future__ import annotations

from typing import Any

import torch
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.network import load_network, predictions


class Instance(BaseModel):
    base64: str


class Body(BaseModel):
    instances: list[Instance]


app = FastAPI()
network = load_network()


@app.post("/predict")
def predict(body: Body) -> dict[str, Any]:
    batch = torch.stack([network.decode(instance.base64) for instance in body.instances])
    return {"predictions": predictions(network.probabilities(batch))}
