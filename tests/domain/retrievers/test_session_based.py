import pytest

from reco_stream.domain.retrievers.kernel import SESSION_KNN, KernelRetriever
from reco_stream.domain.retrievers.vmis import VmisKnn
from reco_stream.domain.session_index import SessionIndex


def test_nonsense_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="vmis_knn: last_n is 0"):
        VmisKnn(SessionIndex(), last_n=0)
    with pytest.raises(ValueError, match="mine: last_n is 5 and limit 0"):
        KernelRetriever(SessionIndex(), "mine", SESSION_KNN, last_n=5, limit=0)
