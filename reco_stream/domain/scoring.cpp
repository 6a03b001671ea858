// The inner loops of a recommendation. In numpy the same took 0.5 ms a query, most of it the cost of 100 small calls.
//
// sessions.hpp: from the context's items to candidates; slate.hpp: from the candidates of all sources to chances.

#include "sessions.hpp"
#include "slate.hpp"

namespace {

// -- Python ----------------------------------------------------------------------------------------------------------

struct PyScorer {
    PyObject_HEAD
    Scorer* scorer;
};

// Copies rows of `length` values into one entry of ROWS values a column.
std::vector<double> columns(PyObject* given, std::size_t rows) {
    const Array<double> values(given);
    if (rows == 0 || rows > ROWS || values.size() % rows) throw std::invalid_argument("wanted one row a kernel, 1 to 4");
    const std::size_t length = values.size() / rows;
    std::vector<double> found(length * ROWS, 0.0);
    for (std::size_t row = 0; row < rows; row++)
        for (std::size_t at = 0; at < length; at++) found[at * ROWS + row] = values[row * length + at];
    return found;
}

int scorer_init(PyObject* self, PyObject* args, PyObject*) {
    PyObject *rank_weight, *match_weight, *nearness, *powers;
    if (!PyArg_ParseTuple(args, "OOOO", &rank_weight, &match_weight, &nearness, &powers)) return -1;
    try {
        const Array<double> power(powers);
        Scorer& scorer = *reinterpret_cast<PyScorer*>(self)->scorer;
        const std::size_t rows = power.size() / 3;
        scorer.rank_weight = columns(rank_weight, rows);
        scorer.match_weight = columns(match_weight, rows);
        scorer.nearness = columns(nearness, rows);
        scorer.rows = static_cast<int>(rows);
        scorer.last_n = static_cast<int>(scorer.rank_weight.size() / ROWS);
        scorer.reach = static_cast<int>(scorer.nearness.size() / ROWS / 2);
        for (std::size_t row = 0; row < rows; row++) {
            scorer.support_power[row] = power[row];
            scorer.age_power[row] = power[rows + row];
        }
        for (int length = 0; length <= scorer.reach; length++)
            for (std::size_t row = 0; row < ROWS; row++)
                scorer.length_weight.push_back(row < rows ? std::pow(std::max(length, 1), -power[2 * rows + row]) : 0.0);
    } catch (const std::exception& error) {
        refused(error);
        return -1;
    }
    return 0;
}

PyObject* scorer_new(PyTypeObject* type, PyObject*, PyObject*) {
    PyObject* self = type->tp_alloc(type, 0);
    if (self != nullptr) reinterpret_cast<PyScorer*>(self)->scorer = new Scorer();
    return self;
}

void scorer_dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<PyScorer*>(self)->scorer;
    type->tp_free(self);
    Py_DECREF(type);
}

// score(index arrays..., numbers, postings, support, items, now_ms, limit, per_item, k, max_events)
PyObject* scorer_score(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    if (count != 11) return PyErr_Format(PyExc_TypeError, "score takes 11 arguments, found %zd", count);
    try {
        Scorer& scorer = *reinterpret_cast<PyScorer*>(self)->scorer;
        const Sessions index(given);
        const Array<double> support(given[4]);
        const std::vector<int64_t> items = integers(given[5]);
        if (!PyList_Check(given[3]) || static_cast<std::size_t>(PyList_GET_SIZE(given[3])) != items.size() ||
            support.size() != items.size() || items.size() > static_cast<std::size_t>(scorer.last_n))
            throw std::invalid_argument("wanted one posting and one support an item, and no more items than last_n");
        const int64_t now_ms = PyLong_AsLongLong(given[6]);
        const std::size_t limit = PyLong_AsSize_t(given[7]), per_item = PyLong_AsSize_t(given[8]),
                          k = PyLong_AsSize_t(given[9]);
        const int64_t max_events = PyLong_AsLongLong(given[10]);
        if (PyErr_Occurred()) return nullptr;
        scorer.score(index, given[3], support, items, now_ms, limit, per_item, k, max_events);
        const std::size_t size = scorer.candidates.size();
        Column<int64_t> numbers(size);
        Column<double> votes(size * static_cast<std::size_t>(scorer.rows));
        for (std::size_t at = 0; at < size; at++) {
            const Candidate& candidate = scorer.candidates[size - 1 - at];
            numbers[at] = candidate.number;
            for (int row = 0; row < scorer.rows; row++)
                votes[static_cast<std::size_t>(row) * size + at] = candidate.votes[row];
        }
        return Py_BuildValue("(NN)", numbers.take(), votes.take());
    } catch (const std::exception& error) {
        reinterpret_cast<PyScorer*>(self)->scorer->forget();
        return refused(error);
    }
}

// evidence(index arrays..., numbers, items) -> [(anchor rank, sessions, after, age_s)]
PyObject* scorer_evidence(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    if (count != 4) return PyErr_Format(PyExc_TypeError, "evidence takes 4 arguments, found %zd", count);
    try {
        const Sessions index(given);
        const std::vector<int64_t> numbers = numbers_below(given[3], index.numbers);
        const auto proofs = reinterpret_cast<PyScorer*>(self)->scorer->evidence(index, numbers);
        PyObject* found = PyList_New(static_cast<Py_ssize_t>(numbers.size()));
        for (std::size_t at = 0; found != nullptr && at < numbers.size(); at++) {
            const auto best = std::max_element(
                proofs[at].begin(), proofs[at].end(),
                [](const Proof& one, const Proof& other) { return one.sessions < other.sessions; });
            const Py_ssize_t anchor = best->sessions > 0 ? best - proofs[at].begin() : -1;
            PyList_SET_ITEM(found, static_cast<Py_ssize_t>(at),
                            Py_BuildValue("(nLLd)", anchor, static_cast<long long>(best->sessions),
                                          static_cast<long long>(best->after), best->age_s));
        }
        return found;
    } catch (const std::exception& error) {
        return refused(error);
    }
}

// merge(parts, banned, seen, support, most_support, last_ms, numbers, now_ms, kept)
//     -> (numbers, scores, shares, signals, rank); a part is (numbers, scores, rows)
PyObject* merge(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 9) return PyErr_Format(PyExc_TypeError, "merge takes 9 arguments, found %zd", count);
    static Merger merger;
    try {
        const std::size_t limit = PyLong_AsSize_t(given[6]), kept = PyLong_AsSize_t(given[8]);
        const int64_t most_support = PyLong_AsLongLong(given[4]), now_ms = PyLong_AsLongLong(given[7]);
        if (PyErr_Occurred()) return nullptr;
        const std::vector<int64_t> banned = numbers_below(given[1], limit), seen = numbers_below(given[2], limit);
        const Array<int64_t> support(given[3]), last_ms(given[5]);
        if (support.size() < limit || last_ms.size() < limit) throw std::invalid_argument("an item has no figures");
        merger.begin(limit, banned);
        for (Py_ssize_t at = 0; at < PySequence_Size(given[0]); at++) {
            PyObject *numbers, *scores;
            Py_ssize_t rows;
            if (!PyArg_ParseTuple(PyList_GetItem(given[0], at), "OOn", &numbers, &scores, &rows))
                throw std::bad_exception();
            merger.add(Array<int64_t>(numbers), Array<double>(scores), static_cast<std::size_t>(rows));
        }
        PyObject* slate = merger.slate(kept, seen, support, most_support, last_ms, now_ms);
        merger.end();
        return slate;
    } catch (const std::exception& error) {
        merger.end();
        return refused(error);
    }
}

// fuse(shares, signals, rank, weights, floor) -> chances
PyObject* fuse(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 5) return PyErr_Format(PyExc_TypeError, "fuse takes 5 arguments, found %zd", count);
    try {
        const double floor = PyFloat_AsDouble(given[4]);
        if (PyErr_Occurred()) return nullptr;
        return chances(Array<double>(given[0]), Array<double>(given[1]), Array<int64_t>(given[2]),
                       Array<double>(given[3]), floor);
    } catch (const std::exception& error) {
        return refused(error);
    }
}

// best(scores, count) -> places of the highest scores
PyObject* best(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 2) return PyErr_Format(PyExc_TypeError, "best takes 2 arguments, found %zd", count);
    try {
        const std::size_t wanted = PyLong_AsSize_t(given[1]);
        if (PyErr_Occurred()) return nullptr;
        const Array<double> scores(given[0]);
        std::vector<std::size_t> places(scores.size());
        for (std::size_t at = 0; at < places.size(); at++) places[at] = at;
        const auto end = places.begin() + static_cast<std::ptrdiff_t>(std::min(wanted, places.size()));
        std::partial_sort(places.begin(), end, places.end(), [&](std::size_t one, std::size_t other) {
            return scores[one] != scores[other] ? scores[one] > scores[other] : one > other;
        });
        Column<int64_t> found(static_cast<std::size_t>(end - places.begin()));
        for (std::size_t at = 0; at < static_cast<std::size_t>(end - places.begin()); at++)
            found[at] = static_cast<int64_t>(places[at]);
        return found.take();
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyMethodDef functions[] = {
    {"best", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(best)), METH_FASTCALL, nullptr},
    {"merge", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(merge)), METH_FASTCALL, nullptr},
    {"fuse", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fuse)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef methods[] = {
    {"score", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(scorer_score)), METH_FASTCALL, nullptr},
    {"evidence", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(scorer_evidence)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(scorer_new)},
    {Py_tp_init, reinterpret_cast<void*>(scorer_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(scorer_dealloc)},
    {Py_tp_methods, methods},
    {0, nullptr},
};

PyType_Spec spec = {"reco_stream.domain.scoring.Scorer", sizeof(PyScorer), 0, Py_TPFLAGS_DEFAULT, slots};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "scoring", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_scoring() {
    PyObject* module = PyModule_Create(&definition);
    PyObject* type = PyType_FromSpec(&spec);
    if (module == nullptr || type == nullptr || PyModule_AddObject(module, "Scorer", type) < 0) return nullptr;
    return module;
}
