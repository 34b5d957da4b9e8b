from parrotlet_server.engine.states import States, common_length


class Counting:
    """Makes states of nothing but tokens, which are all that the choice looks at."""

    def __init__(self):
        self.made = 0

    def new_state(self):
        self.made += 1
        return type("State", (), {"tokens": []})()


def use(states, tokens, document):
    state, common = states.take(tokens, document)
    state.tokens[:] = tokens
    return state, common


def test_typing_goes_on_in_one_state():
    backend = Counting()
    states = States(backend, 3)
    first, common = use(states, [1, 2, 3, 4], "a")
    assert common == 0
    assert use(states, [1, 2, 3, 4, 5], "a") == (first, 4)
    assert use(states, [1, 2, 3, 9], "a") == (first, 3)
    assert backend.made == 1


def test_each_document_has_its_own_as_long_as_there_are_enough():
    backend = Counting()
    states = States(backend, 2)
    texts = {"a": [1, 2, 3, 4, 5, 6], "b": [1, 7, 7, 7, 7, 7]}
    own = {name: use(states, tokens, name)[0] for name, tokens in texts.items()}
    assert own["a"] is not own["b"]
    for name, tokens in texts.items():
        assert use(states, tokens, name) == (own[name], 6)
    # a third one takes the state that was not used for longest
    assert use(states, [9, 9, 9], "c")[0] is own["a"]
    assert use(states, texts["b"], "b") == (own["b"], 6)
    assert backend.made == 2


def test_the_longest_beginning_wins_also_across_documents():
    states = States(Counting(), 3)
    one = use(states, [1, 2, 3, 4], "a")[0]
    use(states, [5, 6, 7, 8], "b")
    assert use(states, [1, 2, 3, 4, 5], "renamed") == (one, 4)


def test_a_document_whose_cursor_jumped_keeps_to_its_state():
    backend = Counting()
    states = States(backend, 3)
    one = use(states, [1, 2, 3, 4, 5, 6], "a")[0]
    assert use(states, [1, 9, 9, 9, 9], "a") == (one, 1)
    assert backend.made == 1


def test_common_length():
    assert common_length([1, 2, 3], [1, 2, 4]) == 2
    assert common_length([1, 2], [1, 2, 4]) == 2
    assert common_length([1, 2, 4], [1, 2]) == 2
    assert common_length([], [1]) == 0
    assert common_length([3], [1]) == 0
