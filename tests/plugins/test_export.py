"""Models and settings that the kit does not try: which detectors and fusers export, that they score alike, and which do not."""

from __future__ import annotations

import pytest

from vibro.api import Component
from vibro.context import Context
from vibro.core.planning import make_plan
from vibro.errors import NotApplicableError
from vibro.host.manager import PluginHost
from vibro.host.registry import read_registry
from vibro.testing.exported import check_export
from vibro.testing.runner import case_for
from vibro_plugins.detectors.contrastive import Contrastive
from vibro_plugins.detectors.pyod_models import PyOD
from vibro_plugins.detectors.sklearn_models import Sklearn
from vibro_plugins.features.cwt_image import CwtImage
from vibro_plugins.features.joined import Joined
from vibro_plugins.fusers.auditioned import Auditioned
from vibro_plugins.fusers.robust import TrimmedMean
from vibro_plugins.stats import neighbours

EXPORTED = [
    (PyOD, {"model": "ECOD", "pca": 3}),
    (PyOD, {"model": "COPOD"}),
    (PyOD, {"model": "HBOS", "settings": {"n_bins": 7}}),
    (PyOD, {"model": "LOF"}),
    *((PyOD, {"model": "KNN", "settings": {"n_neighbors": 3, "method": way}}) for way in ("largest", "mean", "median")),
    (Joined, {"of": ["zerone_image"], "size": 8, "per_sensor": False}),
    (Auditioned, {}),
    *((TrimmedMean, {"trim": share}) for share in (0.0, 0.3)),
]
HEADS = ("knn", "knn_cosine", "centroid", "centroid_cosine", "mahalanobis")
OWN_CODE = [
    *((PyOD, {"model": name}) for name in ("IForest", "PCA", "MCD", "LODA", "OCSVM", "INNE", "GMM")),
    (Sklearn, {"model": "sklearn.svm.OneClassSVM"}),
    (CwtImage, {"layout": "classic", "size": 8}),
]


def shown(value):
    return getattr(value, "name", None) or "-".join(map(str, value.values())).replace("'", "") or "default"


@pytest.mark.parametrize(("cls", "settings"), EXPORTED, ids=shown)
def test_the_export_gives_the_same(cls, settings):
    case = case_for(cls, settings=settings)
    case.fitted.export()  # it is exported at all
    check_export(case)


@pytest.mark.parametrize("head", HEADS)
def test_heads_of_a_network(head):
    case = case_for(Contrastive, settings={**Contrastive.test_settings, "epochs": 1, "head": head})
    case.fitted.export()
    check_export(case)


@pytest.mark.parametrize("head", ["knn", "knn_cosine"])
def test_heads_that_keep_some_codes_export_these(head, monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_ROWS", 16)
    case = case_for(Contrastive, settings={**Contrastive.test_settings, "epochs": 1, "head": head})
    assert len(case.fitted.export().arrays["head.codes"]) == 16
    check_export(case)


def refuses(component):
    """Whether a component that has learned nothing yet says already that it is not exported."""
    try:
        component.export()
    except NotApplicableError:
        return True
    except Exception:
        return False
    return False


def test_members_of_quick_and_default_and_all_below_them_export():
    registry, host = read_registry(), PluginHost.create(autoload=False, environ={})
    for name in ("quick", "default"):
        plan = make_plan(host, name, registry.ensemble(name))
        parts = [*((d.cls, d.params) for d in plan.detectors), *((v.cls, v.params) for v in plan.extractors.values())]
        parts.append((plan.fuser, plan.fuser_params))
        for cls, params in parts:
            assert cls.export is not Component.export and not refuses(cls(params, Context())), f"{name}: {cls.name}"


@pytest.mark.parametrize(("cls", "settings"), OWN_CODE, ids=shown)
def test_what_is_not_exported_says_why(cls, settings):
    component = case_for(cls, settings=settings).make()
    assert refuses(component)
    with pytest.raises(NotApplicableError, match="own code|layout v2"):
        component.export()
