"""Goal: layers that read "numbers" and "categories" get the columns as two inputs, everywhere where there is a model: in jobs, folds, a dataset that
validates, predictions, after a restart; and a definition without data is checked as it is when it is stored."""
import pytest

from harness import pointers, problem, remarks, unique

LAYERS = [{"type": "dense", "units": 8, "activation": "relu", "inputs": ["numbers"], "name": "n"},
          {"type": "dense", "units": 8, "activation": "relu", "inputs": ["categories"], "name": "c"}, {"type": "concatenate", "inputs": ["n", "c"]}]
ROWS = [{"bill_length_mm": 39.1, "island": "Biscoe", "sex": "male", "body_mass_g": 3750}, {"bill_length_mm": None, "island": "Dream"},
        {"bill_length_mm": 50, "bill_depth_mm": 15.2, "flipper_length_mm": 220, "island": "Mars", "sex": "female"}]


def job(name, **more):
    return {"model": {"name": name, "layers": LAYERS}, "dataset": "penguins", "target": "species", "epochs": 15, "seed": 3,
            "optimizer": {"type": "adam", "learning_rate": 0.01}, **more}


def answers(server, name, rows=ROWS):
    return server.predict(name, rows)


def test_two_inputs_in_a_job(server):
    name = unique("split")
    done = server.train(**job(name))
    assert done["metrics"]["val_accuracy"] > 0.9
    version = server.get("/v1/models/%s/versions/latest" % name).json
    widths = {layer["name"]: layer["parameters"] for layer in version["layers"]}
    assert (widths["n"], widths["c"]) == ((4 + 1) * 8, (4 + 3 + 4 + 1) * 8)  # four numbers; islands, sexes and the rest of each; four indicators
    several = answers(server, name)
    alone = [row for one in ROWS for row in answers(server, name, [one])]
    for one, row in zip(alone, several):
        assert one["label"] == row["label"] and one["probabilities"] == pytest.approx(row["probabilities"], abs=1e-5)
    assert {row["label"] for row in several} <= {"Adelie", "Chinstrap", "Gentoo"}


def test_folds_and_a_dataset_that_validates(server):
    folded, held = unique("folds"), unique("held")
    result = server.train(**job(folded, validation={"folds": 3}))["cross_validation"]
    assert len(result["folds"]) == 3 and result["mean"]["val_accuracy"] > 0.9
    rows = server.get("/v1/datasets/penguins/rows?format=csv").body.decode()
    server.post_csv(held, rows)
    other = server.train(**job(held, validation={"dataset": held}))
    assert other["metrics"]["val_accuracy"] > 0.9 and len(answers(server, held)) == 3


def test_predictions_after_a_restart(fresh):
    server = fresh("--workers", "1")
    server.post_csv("mixed", "x,k,y\n1,a,1\n2,b,0\n,a,2\n4,b,1\n5,c,3\n6,a,2\n")
    server.train(model={"name": "m", "layers": LAYERS}, dataset="mixed", target="y", task="regression", epochs=3, seed=1, validation={"fraction": 0})
    before = answers(server, "m", [{"x": 3, "k": "b"}, {"x": None, "k": "c"}])
    server.restart()
    assert answers(server, "m", [{"x": 3, "k": "b"}, {"x": None, "k": "c"}]) == before


def test_an_input_that_would_be_empty(server):
    answer = server.post("/v1/jobs", job(unique("none"), features=["island"]))
    problem(answer, 422, "invalid")
    assert pointers(answer)["/model/layers/0/inputs"].startswith('the input "numbers" would be empty: ')
    half = {"name": unique("half"), "layers": [{"type": "dense", "units": 3, "activation": "relu", "inputs": ["numbers"]}]}
    done = server.train(**{**job("x"), "model": half, "epochs": 1})
    assert any(text.startswith('no layer reads the input "categories": ') for text in remarks(done))


@pytest.mark.parametrize("layers", [LAYERS, [{"type": "flatten", "inputs": ["image"]}, {"type": "dense", "units": 2}]])
def test_validate_and_store_agree(server, layers):
    """Which inputs the data will have is not known yet."""
    assert server.post("/v1/models/validate", {"layers": layers}).json["valid"]
    assert server.post("/v1/models", {"name": unique("open"), "layers": layers}).status == 201
    data = server.post("/v1/models/validate", {"model": {"layers": LAYERS}, "dataset": "penguins", "target": "species"}).json
    assert data["valid"] and data["complete"]
