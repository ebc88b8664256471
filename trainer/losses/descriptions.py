"""The losses of a training config in words, for the model card."""

from trainer.release.markdown import Table, describe_value, draw_table

TERMS = {
    "fidelity": "(1 - MEF-SSIM)",
    "detail": "lost gradients",
    "bounds": "excursion",
    "tone": "tone shift",
    "similarity": "(1 - MS-SSIM with both exposures)",
    "edges": "(1 - Qabf)",
    "information": "(1 - VIFF)",
    "haze": "haze",
    "order": "disorder",
    "halo": "rims",
    "colour": "lost colour",
    "hue": "foreign hue",
    "variation": "total variation",
}
"""Key of a term's weight -> how the card calls it in the sum, in its order."""

EXPLANATIONS = {
    "haze": "Haze: the mean square by which coarse tones are brighter than a well-exposed mix of "
    "the exposures where the over exposure is burnt out.",
    "order": "Disorder: how far coarse tones reverse an order that both exposures agree on.",
    "halo": "Rims: overshoot of coarse tones beside strong edges, in per cent of their contrast.",
    "colour": "Lost colour: how far the chroma of 4 x 4 pixels stays behind the more colourful "
    "exposure's.",
    "hue": "Foreign hue: how far the chroma of 4 x 4 pixels lies from any mix of the exposures'.",
}


def describe_losses(loss: Table) -> list[str]:
    """The lines of the card's section on losses.

    Args:
        loss: The group `loss` of a training config; of an older one it lacks the newer keys.
    """
    if not loss:
        return ["Not recorded."]
    terms = [f"{describe_value(loss[key])} {name}" for key, name in TERMS.items() if loss.get(key)]
    tasks = loss.get("tasks", 1.0)
    lines = ["```", f"Loss = {' + '.join([*_sum_tasks(loss), *terms])}"]
    if tasks:
        alpha = describe_value(loss.get("alpha"))
        lines += [f"Loss_i = square error + {alpha} (1 - MS-SSIM)"]
    lines += ["```", ""]
    if tasks:
        lines += [_explain_tasks(loss)]
    lines += _explain_terms(loss)
    rows = [(f"`{key}`", describe_value(value)) for key, value in loss.items()]
    return [*lines, "", *draw_table(("key", "value"), rows)]


def _sum_tasks(loss: Table) -> list[str]:
    weight = loss.get("tasks", 1.0)
    if not weight:
        return []
    tasks = "Loss_co"
    if loss.get("use_masks", True):
        tasks = "lambda1 Loss_under + lambda2 Loss_over + Loss_co"
    return [tasks if weight == 1 else f"{describe_value(weight)} ({tasks})"]


def _explain_tasks(loss: Table) -> str:
    if not loss.get("use_masks", True):
        return "Loss_co compares the output with the correct exposure."
    beta = describe_value(loss.get("beta"))
    weights = f"lambda1 = lambda2 = {beta} / 2"
    if loss.get("use_tuner", True):
        weights = f"lambda1 + lambda2 = {beta}, set for each triple by ParamTuner (Eq. 10-13)"
    return (
        "Loss_co compares the output with the correct exposure; Loss_under and Loss_over "
        f"compare it with a source under the masks of MaskBuilder (Eq. 1-5). {weights}."
    )


def _explain_terms(loss: Table) -> list[str]:
    lines: list[str] = []
    if loss.get("fidelity"):
        lines += [
            "The MEF-SSIM of the output against the two exposures counts from step "
            f"{describe_value(loss.get('fidelity_from_step', 0))} on; the paper does not have this "
            "term."
        ]
    if loss.get("detail"):
        lines += [
            "Lost gradients: how far those of the output stay behind "
            f"{describe_value(loss.get('detail_gain'))} times the stronger exposure's, on "
            f"{describe_value(loss.get('detail_scales'))} scales; not in the paper either."
        ]
    if loss.get("bounds"):
        lines += [
            "Excursion: the mean square by which the output leaves the span of its two exposures; "
            "not in the paper either."
        ]
    if loss.get("tone"):
        lines += [
            "Tone shift: the mean square between coarse tones of the output and of the mean of its "
            f"exposures, from step {describe_value(loss.get('tone_from_step', 0))} on; not in the "
            "paper either."
        ]
    return [*lines, *(text for key, text in EXPLANATIONS.items() if loss.get(key))]
