"""The bar chart of a run's ratios."""

from benchmarks.chart import RATIOS, save_chart


def test_cases_with_all_ratios_are_drawn_and_others_leave_no_picture(tmp_path):
    complete = {"case": "a", **dict.fromkeys(RATIOS, 2.0)}
    partial = {"case": "b", "ratio_numpy_loop": 3.0}
    save_chart(tmp_path / "both.png", [complete, partial])
    save_chart(tmp_path / "none.png", [partial])
    assert [path.name for path in tmp_path.iterdir()] == ["both.png"]
