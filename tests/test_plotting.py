import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from jaxmimo.plotting import (
    ERROR_BAR,
    MARKERS,
    PALETTE,
    axis_label,
    curve_with_points,
    legend_beside,
    legend_beside_panels,
    legend_key,
    new_axes,
    one_panel,
    panel_grid,
    panels_of,
    save_figure,
    share_limits,
    with_dimensions,
)

X = np.array([10.0, 20.0, 30.0])


def draw(ax, **given):
    curve_with_points(ax, X, label="M = 10", color=PALETTE[0], **given)
    return ax


def error_bars(ax):
    (container,) = (item for item in ax.containers if isinstance(item, ErrorbarContainer))
    (segments,) = (bar.get_segments() for bar in container[2])
    return np.array([segment[:, 1] for segment in segments])


def test_every_colour_has_a_marker():
    assert len(set(PALETTE)) == len(set(MARKERS)) == len(PALETTE) == len(MARKERS)


def test_new_axes_needs_no_pyplot_and_changes_nothing_global():
    code = (
        "import sys, matplotlib as mpl; before = mpl.rcParams.copy()\n"
        "from jaxmimo.plotting import new_axes; new_axes()\n"
        "assert mpl.rcParams.copy() == before; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_new_axes_styles_the_axes_it_is_given():
    ax = Figure().add_subplot()
    assert new_axes(ax) is ax
    assert not ax.spines["top"].get_visible()
    assert isinstance(new_axes(), Axes)


def test_axis_label_names_the_unit_unless_there_is_none():
    se = xr.DataArray([1.0], name="sum_se", attrs={"long_name": "Sum SE", "units": "bit/s/Hz"})
    assert axis_label(se) == "Sum SE [bit/s/Hz]"
    assert axis_label(se.assign_attrs(units="1")) == "Sum SE"
    assert axis_label(xr.DataArray([1.0], name="num_aps")) == "num_aps"


def test_line_points_and_error_bars_hold_the_data():
    mean, std_error, closed_form = X / 10, np.array([0.1, 0.2, 0.3]), X / 11
    ax = draw(new_axes(), closed_form=closed_form, mean=mean, std_error=std_error)
    line = next(line for line in ax.lines if line.get_label() == "_line")
    np.testing.assert_allclose(line.get_ydata(), closed_form)
    expected = np.stack([mean - ERROR_BAR * std_error, mean + ERROR_BAR * std_error], axis=1)
    np.testing.assert_allclose(error_bars(ax), expected)


def test_points_that_were_not_simulated_are_left_out():
    mean = np.array([1.0, np.nan, 3.0])
    ax = draw(new_axes(), mean=mean, std_error=np.array([0.1, np.nan, 0.1]))
    assert np.isfinite(ax.dataLim.get_points()).all()


@pytest.mark.parametrize(
    "given",
    [{"closed_form": X}, {"mean": X}, {"mean": X, "std_error": X / 50, "closed_form": X}],
)
def test_one_legend_entry_a_curve(given):
    ax = draw(new_axes(), **given)
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["M = 10"]
    assert (handles[0].get_marker() == "o") == ("mean" in given)


def test_points_without_closed_form_are_joined():
    alone = draw(new_axes(), mean=X).containers[0][0]
    beside_line = draw(new_axes(), mean=X, closed_form=X).containers[0][0]
    assert alone.get_linestyle() == "-"
    assert beside_line.get_linestyle().lower() == "none"


def test_legend_does_not_cover_data_and_stays_in_the_picture():
    ax = draw(new_axes(), closed_form=X)
    legend_beside(ax, title="hardware")
    figure = ax.get_figure(root=True)
    figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent()
    assert legend.x0 >= ax.get_window_extent().x1
    assert legend.x1 <= figure.bbox.x1


def test_panels_have_the_shared_style_and_one_legend_beside_them():
    axes = panel_grid(2, 3)
    assert axes.shape == (2, 3)
    assert not any(ax.spines["top"].get_visible() for ax in axes.flat)
    keys = [legend_key("Q = 1", color=PALETTE[0], marker="o", linestyle="none"), legend_key("all")]
    legend_beside_panels(axes, keys, title="layout")
    figure = axes[0, 0].get_figure()
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Q = 1", "all"]
    box = legend.get_window_extent()
    assert box.x0 >= max(ax.get_window_extent().x1 for ax in axes.flat)
    assert box.x1 <= figure.bbox.x1


def test_legend_beside_takes_keys_of_its_own():
    ax = draw(new_axes(), closed_form=X)
    legend_beside(ax, keys=[legend_key("solid")])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["solid"]


def test_shared_limits_hold_what_each_panel_shows():
    axes = panel_grid(1, 2)
    axes[0, 0].plot([0, 1], [0, 2])
    axes[0, 1].plot([0, 3], [-5, 1])
    tops = [ax.get_ylim()[1] for ax in axes.flat]
    share_limits(axes)
    assert axes[0, 0].get_ylim() == axes[0, 1].get_ylim()
    assert axes[0, 0].get_xlim() == axes[0, 1].get_xlim()
    assert axes[0, 1].get_ylim()[1] == max(tops)
    share_limits(axes[:0])


GRID = xr.Dataset(
    {"se": (("phase", "k"), np.arange(4).reshape(2, 2))},
    coords={"phase": ["off", "on"], "k": [1, 2]},
)


def test_panels_of_selects_each_part_with_its_values():
    parts = list(panels_of(GRID, ("phase",)))
    assert [chosen for chosen, _ in parts] == [{"phase": "off"}, {"phase": "on"}]
    assert parts[1][1].se.values.tolist() == [2, 3]
    ((chosen, part),) = panels_of(GRID.sel(phase="on"), ("phase",))
    assert chosen == {"phase": "on"}
    assert part.equals(parts[1][1])
    assert with_dimensions(GRID.sel(k=2), ("k",)).se.shape == (1, 2)


def test_one_panel_names_what_remains_to_be_selected():
    assert one_panel(GRID.sel(k=[2], phase="on"), ("phase", "k")).se.item() == 3
    with pytest.raises(ValueError, match=r"`ax` takes one panel.* Select phase and k with"):
        one_panel(GRID, ("phase", "k"))


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_save_figure_writes_what_the_suffix_says(suffix, magic, tmp_path):
    path = tmp_path / "pictures" / f"dummy.{suffix}"
    save_figure(draw(new_axes(), closed_form=X), path)
    assert path.read_bytes().startswith(magic)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_failed_picture_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="xyz"):
        save_figure(new_axes(), tmp_path / "dummy.xyz")
    assert list(tmp_path.iterdir()) == []


def test_save_figure_refuses_axes_without_figure(tmp_path):
    ax = new_axes()
    ax.remove()
    with pytest.raises(ValueError, match=r"`ax` belongs to no figure"):
        save_figure(ax, tmp_path / "dummy.png")


def test_pictures_do_not_depend_on_the_users_backend(tmp_path):
    with mpl.rc_context({"backend": "agg"}):
        save_figure(new_axes(), tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_points_are_not_joined_where_the_curve_between_them_is_not_known():
    ax = new_axes()
    curve_with_points(ax, X, mean=X, label="a", color="k", joined=False, filled=True)
    styles = {line.get_linestyle() for line in ax.lines}
    assert styles == {"None"}
    assert {line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"} == {"k"}


def test_a_closed_form_may_have_more_points_than_the_simulation():
    ax = new_axes()
    x = np.linspace(0.0, 1.0, 50)
    curve_with_points(ax, X, closed_form=x, closed_form_x=x, mean=X, label="a", color="k")
    assert [len(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "-"] == [50, 0]
