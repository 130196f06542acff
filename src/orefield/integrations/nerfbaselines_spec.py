"""Registers the method with nerfbaselines, by the entry point `nerfbaselines.specs`."""

from nerfbaselines import MethodSpec, register

METHOD_ID = "orefield"
SPEC: MethodSpec = {
    "id": METHOD_ID,
    "method_class": "orefield.integrations.nerfbaselines:OrefieldMethod",
    "backends_order": ["python"],
    "metadata": {
        "name": "Orefield",
        "description": (
            "An Instant-NGP hash grid, back-propagated only through the hard samples (online hard "
            "sample mining, Korhonen et al., ECCV 2024)."
        ),
        "paper_title": "Efficient NeRF Optimization - Not All Samples Remain Equally Hard",
        "paper_authors": ["Juuso Korhonen", "Goutham Rangu", "Hamed R. Tavakoli", "Juho Kannala"],
        "paper_link": "https://arxiv.org/abs/2408.03193",
        "licenses": [{"name": "Apache-2.0"}],
    },
}

register(SPEC)
