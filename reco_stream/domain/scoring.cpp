// The inner loops of a recommendation. In numpy the same took 0.5 ms a query, most of it the cost of 100 small calls.
//
// sessions.hpp: from the context's items to candidates; slate.hpp: from the candidates of all sources to chances;
// ranking.hpp: the whole way of a question, without Python in between.

#include "ranking.hpp"

namespace {

// -- Python ----------------------------------------------------------------------------------------------------------

struct PyScorer {
    PyObject_HEAD
    Scorer* scorer;
};
PyObject* scorer_type = nullptr;

Scorer& scorer_of(PyObject* object) {
    if (!PyObject_TypeCheck(object, reinterpret_cast<PyTypeObject*>(scorer_type)))
        throw std::invalid_argument("wanted a Scorer");
    return *reinterpret_cast<PyScorer*>(object)->scorer;
}

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

// score(fields of Sessions..., support, items, now_ms, limit, per_item, k, max_events)
PyObject* scorer_score(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    if (count != Sessions::FIELDS + 7) return PyErr_Format(PyExc_TypeError, "score takes 14 arguments, found %zd", count);
    try {
        Scorer& scorer = *reinterpret_cast<PyScorer*>(self)->scorer;
        const Sessions index(given);
        given += Sessions::FIELDS;
        const Array<double> supports(given[0]);
        const std::vector<double> support(supports.begin(), supports.begin() + supports.size());
        const std::vector<int64_t> items = integers(given[1]);
        const int64_t now_ms = PyLong_AsLongLong(given[2]);
        const std::size_t limit = PyLong_AsSize_t(given[3]), per_item = PyLong_AsSize_t(given[4]),
                          k = PyLong_AsSize_t(given[5]);
        const int64_t max_events = PyLong_AsLongLong(given[6]);
        if (PyErr_Occurred()) return nullptr;
        scorer.score(index, support, items, now_ms, limit, per_item, k, max_events);
        std::vector<int64_t> numbers;
        std::vector<double> votes;
        scorer.columns(numbers, votes);
        return Py_BuildValue("(NN)", bytes_of(numbers), bytes_of(votes));
    } catch (const std::exception& error) {
        reinterpret_cast<PyScorer*>(self)->scorer->forget();
        return refused(error);
    }
}

// evidence(fields of Sessions..., items) -> [(anchor rank, sessions, after, age_s)]
PyObject* scorer_evidence(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    if (count != Sessions::FIELDS + 1) return PyErr_Format(PyExc_TypeError, "evidence takes 8 arguments, found %zd", count);
    try {
        const Sessions index(given);
        const std::vector<int64_t> numbers = numbers_below(given[Sessions::FIELDS], index.numbers);
        PyObject* found = PyList_New(0);
        for (const auto& [anchor, proof] : reinterpret_cast<PyScorer*>(self)->scorer->evidence(index, numbers))
            append(found, Py_BuildValue("(iLLd)", anchor, static_cast<long long>(proof.sessions),
                                        static_cast<long long>(proof.after), proof.age_s));
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
        const ItemFigures figures(given[3], most_support, given[5], limit);
        merger.begin(limit, banned);
        for (Py_ssize_t at = 0; at < PySequence_Size(given[0]); at++) {
            PyObject *numbers, *scores;
            Py_ssize_t rows;
            if (!PyArg_ParseTuple(PyList_GetItem(given[0], at), "OOn", &numbers, &scores, &rows))
                throw std::bad_exception();
            merger.add(Array<int64_t>(numbers), Array<double>(scores), static_cast<std::size_t>(rows));
        }
        const Slate slate = merger.slate(kept, seen, figures, now_ms);
        merger.end();
        return Py_BuildValue("(NNNNN)", bytes_of(slate.numbers), bytes_of(slate.scores), bytes_of(slate.shares),
                             bytes_of(slate.signals), bytes_of(slate.rank));
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
        return bytes_of(chances(Array<double>(given[0]), Array<double>(given[1]), Array<int64_t>(given[2]),
                                Array<double>(given[3]), floor));
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
        return bytes_of(best_places(scores.begin(), scores.size(), wanted));
    } catch (const std::exception& error) {
        return refused(error);
    }
}

// rank(first, second, index, question, limits, weights, count) -> [(number, chance, past, again, anchor, ...)]
PyObject* rank(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 7) return PyErr_Format(PyExc_TypeError, "rank takes 7 arguments, found %zd", count);
    static Ranking ranking;
    try {
        Scorer &first = scorer_of(given[0]), &second = scorer_of(given[1]);
        const Known known(given[2]);
        const Question question(given[3], known.sessions.numbers);
        const Limits limits(given[4]);
        const Array<double> weights(given[5]);
        const std::size_t wanted = PyLong_AsSize_t(given[6]);
        if (PyErr_Occurred()) return nullptr;
        PyObject* found = PyList_New(0);
        for (const Ranked& one : ranking.rank(first, second, known, question, limits, weights, wanted))
            append(found, Py_BuildValue("(LdOOiLLd)", static_cast<long long>(one.number), one.chance,
                                        one.past ? Py_True : Py_False, one.again ? Py_True : Py_False, one.anchor,
                                        static_cast<long long>(one.proof.sessions),
                                        static_cast<long long>(one.proof.after), one.proof.age_s));
        return found;
    } catch (const std::exception& error) {
        for (PyObject* scorer : {given[0], given[1]})
            if (PyObject_TypeCheck(scorer, reinterpret_cast<PyTypeObject*>(scorer_type))) scorer_of(scorer).forget();
        return refused(error);
    }
}

PyMethodDef functions[] = {
    {"best", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(best)), METH_FASTCALL, nullptr},
    {"merge", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(merge)), METH_FASTCALL, nullptr},
    {"fuse", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fuse)), METH_FASTCALL, nullptr},
    {"rank", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(rank)), METH_FASTCALL, nullptr},
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
    scorer_type = PyType_FromSpec(&spec);
    if (module == nullptr || scorer_type == nullptr || PyModule_AddObjectRef(module, "Scorer", scorer_type) < 0)
        return nullptr;
    return module;
}
