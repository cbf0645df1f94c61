"""What the lifecycle reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from common.mail import MailSettings
from lifecycle.step import APPROVABLE, Step
from local.following import LOCAL
from registry.settings import RegistrySettings


class LifecycleSettings(RegistrySettings, MailSettings):
    """Of `vision watch` and `vision lifecycle`."""

    lifecycle_inbox: str = Field(
        "inbox", description="where parts arrive, as `<model>/<part>`: a folder or `s3://…`"
    )
    lifecycle_service: str = Field(
        LOCAL,
        description="who takes new revisions: `local` for `vision serve`, or an InferenceService",
    )
    lifecycle_gateway: str = Field(
        "",
        description="`http://…` of the cluster's gateway, for rollouts; empty: it is looked for",
    )
    rollout_experiments: str = Field(
        "",
        description="counters of the console that knows what experiments run, `http://…/metrics`; "
        "`none` asks nobody. Empty: on a cluster the console in the namespace, here nobody",
    )
    lifecycle_approvals: str = Field(
        "",
        description="steps that a person approves first, comma-separated: "
        + ", ".join(f"`{step.value}`" for step in APPROVABLE),
    )
    lifecycle_training: str = Field(
        "fine-tune",
        pattern="^(fine-tune|full)$",
        description="`fine-tune` the live revision's weights, minutes; `full` from scratch",
    )
    lifecycle_settings: Path | None = Field(
        None, description="YAML of training settings in place of those of `lifecycle/presets`"
    )
    lifecycle_threads: int = Field(0, ge=0, description="of training; 0: as torch has them")
    lifecycle_confidence: float = Field(
        0.95, gt=0.5, lt=1, description="that a revision is worse, before it is refused for it"
    )
    lifecycle_failures: int = Field(
        3, ge=1, description="failures of a step, other than being ended, that end its run"
    )
    lifecycle_webhooks: str = Field(
        "", description="URLs that are told by CloudEvents, comma-separated"
    )
    lifecycle_mail_to: str = Field("", description="addresses that are told, comma-separated")

    @field_validator("lifecycle_approvals")
    @classmethod
    def _known(cls, value: str) -> str:
        for name in _parts(value):
            if name not in {step.value for step in APPROVABLE}:
                known = ", ".join(step.value for step in APPROVABLE)
                raise ValueError(f"{name} is no step that can be approved: {known}")
        return value

    @property
    def approvals(self) -> tuple[Step, ...]:
        return tuple(Step(name) for name in _parts(self.lifecycle_approvals))

    @property
    def webhooks(self) -> list[str]:
        return _parts(self.lifecycle_webhooks)

    @property
    def receivers(self) -> list[str]:
        return _parts(self.lifecycle_mail_to)


def _parts(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
