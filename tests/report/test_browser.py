"""The page in headless Chromium: it draws, turns, answers to mouse and keyboard, prints, and can be read."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from riemod.report import write_report
from tests.report.test_figures import contrast

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver on the path"),
    # selenium leaves its connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader")
OPTIONS += ("--use-angle=swiftshader", "--window-size=1400,900")
EYE = "const {x, y, z} = document.getElementById(arguments[0]).layout.scene.camera.eye; return [x, y, z]"


@pytest.fixture(scope="module")
def page(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "page.html"
    write_report(list(runs.values()), out)
    return out


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    """A browser without a window."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def browser(started: Any, page: Path) -> Any:
    """The browser, with the page drawn anew."""
    resize(started, 1400)
    show(started, page)
    return started


def resize(browser: Any, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def show(browser: Any, page: Path) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get(page.as_uri())
    ready = "return document.documentElement.classList.contains('drawn')"
    WebDriverWait(browser, 120).until(lambda one: one.execute_script(ready))


def wait(browser: Any, script: str, *arguments: Any) -> Any:
    """What a script returns, once that is true."""
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 60).until(lambda one: one.execute_script(f"return {script}", *arguments))


def at(browser: Any, css: str) -> Any:
    return browser.find_element("css selector", css)


def bring(browser: Any, element: Any) -> Any:
    """Scroll to an element at once, where the page would glide."""
    browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", element)
    return element


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def test_nothing_fails_and_nothing_is_loaded(browser: Any) -> None:
    wrong = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert wrong == []
    assert browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)") == []
    drawn = "Array.from(document.querySelectorAll('.plot')).every((one) => one.querySelector('.main-svg, canvas'))"
    assert browser.execute_script(f"return {drawn}")


def test_the_units_turn_when_they_are_dragged(browser: Any) -> None:
    from selenium.webdriver import ActionChains

    plot = bring(browser, at(browser, "#units-0"))
    before = browser.execute_script(EYE, "units-0")
    ActionChains(browser).move_to_element(plot).click_and_hold().move_by_offset(120, 40).pause(0.3).release().perform()
    wait(browser, "document.getElementById('units-0').layout.scene.camera.eye.x !== arguments[0]", before[0])
    after = browser.execute_script(EYE, "units-0")
    assert max(abs(one - other) for one, other in zip(before, after, strict=True)) > 0.1
    bring(browser, at(browser, "[data-view=units-0] [data-part=reset]")).click()
    wait(browser, "document.getElementById('units-0').layout.scene.camera.eye.x === arguments[0]", before[0])


def test_a_unit_that_is_pointed_at_shows_its_tuning_and_weights(browser: Any) -> None:
    from selenium.webdriver import ActionChains

    figure, plot = at(browser, "[data-view=units-0]"), at(browser, "#units-0")
    panel = figure.find_element("css selector", "[data-part=chosen]")
    first = panel.text
    assert first.startswith("Unit ")
    assert "Strongest inputs" in first
    bring(browser, plot)
    hovered = "window.hovered = null; document.getElementById('units-0').on('plotly_hover', "
    browser.execute_script(hovered + "(event) => { window.hovered = event.points[0].customdata; })")
    # Somewhere along this line through the picture there are units.
    for offset in range(-200, 201, 8):
        ActionChains(browser, duration=20).move_to_element_with_offset(plot, offset, 0).perform()
        unit = browser.execute_script("return window.hovered")
        if unit is not None and f"Unit {unit}\n" not in first:
            break
    else:
        pytest.fail("no unit was met")
    wait(browser, "arguments[0].innerText.startsWith('Unit ' + window.hovered + '\\n')", panel)
    lines = "document.getElementById('units-0').data.slice(2, 4).map((trace) => trace.x.length)"
    assert sum(wait(browser, lines)) > 0
    assert figure.find_element("css selector", "input").get_attribute("value") == str(
        browser.execute_script("return window.hovered")
    )


def test_colors_of_the_units_can_be_chosen(browser: Any) -> None:
    from selenium.webdriver.support.select import Select

    choice = Select(at(browser, "[data-view=units-0] select"))
    names = [option.text for option in choice.options]
    assert names == ["place of most activity, angle", "sum of incoming |weights|"]
    choice.select_by_index(1)
    title = "document.getElementById('units-0').data[0].marker.colorbar.title.text"
    assert wait(browser, f"{title} === 'sum of incoming |weights|'")


def test_a_run_can_be_taken_out_of_the_curves(browser: Any) -> None:
    hidden = (
        "Array.from(document.querySelectorAll('[id^=curve-]')).flatMap((one) => one.data)"
        ".filter((trace) => trace.legendgroup === 'bare').map((trace) => trace.visible === false)"
    )
    box = bring(browser, at(browser, "input[data-run=bare]"))
    box.click()
    found = wait(browser, f"({hidden}).every(Boolean) && {hidden}")
    assert len(found) >= 2
    others = hidden.replace("'bare'", "'analyzed'")
    assert not any(browser.execute_script(f"return {others}"))
    box.click()
    assert wait(browser, f"!({hidden}).some(Boolean)")


def test_the_keyboard_reaches_everything(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    focus = (
        "return document.activeElement.className || document.activeElement.dataset.part || document.activeElement.id"
    )
    press(browser, Keys.TAB)
    assert browser.execute_script(focus) == "skip"
    assert browser.execute_script("return document.activeElement.getBoundingClientRect().left") >= 0
    press(browser, Keys.ENTER)
    assert wait(browser, "document.activeElement.id === 'content'")
    met = []
    for _ in range(60):
        press(browser, Keys.TAB)
        met.append(browser.execute_script("return document.activeElement.id || document.activeElement.tagName"))
        if met[-1] == "units-0":
            break
    assert met[-1] == "units-0"
    assert met.index("SELECT") < met.index("units-0")
    before = browser.execute_script(EYE, "units-0")
    press(browser, Keys.ARROW_LEFT)
    wait(browser, "document.getElementById('units-0').layout.scene.camera.eye.x !== arguments[0]", before[0])
    details = at(browser, "details")
    browser.execute_script("arguments[0].querySelector('summary').focus()", details)
    assert not details.get_property("open")
    press(browser, Keys.ENTER)
    assert wait(browser, "arguments[0].open", details)
    browser.execute_script("arguments[0].focus()", at(browser, "[data-view=units-0] input"))
    press(browser, Keys.CONTROL + "a")
    press(browser, Keys.NULL, "7")
    panel = at(browser, "[data-view=units-0] [data-part=chosen]")
    assert wait(browser, "arguments[0].innerText.startsWith('Unit 7\\n')", panel)


def test_the_page_prints(browser: Any) -> None:
    opened = "window.opened = null; window.addEventListener('beforeprint', () => { window.opened = "
    opened += "Array.from(document.querySelectorAll('details')).every((one) => one.open); "
    opened += "window.wide = Array.from(document.querySelectorAll('.plot')).some((one) => "
    opened += "one._fullLayout.width > one.closest('figure').clientWidth + 1); })"
    browser.execute_script(opened)
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF")
    assert 4 <= printed.count(b"/Type /Page\n") <= 40
    assert browser.execute_script("return window.opened") is True
    assert browser.execute_script("return window.wide") is False
    assert wait(browser, "!document.documentElement.classList.contains('printing')")
    assert not at(browser, "details").get_property("open")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_light_and_dark_are_readable(started: Any, page: Path, theme: str) -> None:
    feature = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    started.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    try:
        show(started, page)
        color = "getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
        ground = hexadecimal(started.execute_script(f"return {color}", "figure", "backgroundColor"))
        for text in ("figcaption", "figcaption span", "td"):
            assert contrast(hexadecimal(started.execute_script(f"return {color}", text, "color")), ground) >= 4.5
        label = hexadecimal(started.execute_script(f"return {color}", "#curve-0 .xtick text", "fill"))
        assert contrast(label, ground) >= 4.5
        assert (ground > "#800000") == (theme == "light")
    finally:
        started.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_runs_out_of_the_screen(started: Any, page: Path, width: int) -> None:
    resize(started, width)
    show(started, page)
    wide = "Array.from(document.querySelectorAll('section > :not(.scroll), figure, .card')).filter((one) => "
    wide += "one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML.slice(0, 80))"
    assert started.execute_script(f"return {wide}") == []
    assert started.execute_script("return document.documentElement.scrollWidth") <= width


def hexadecimal(color: str) -> str:
    """A color of the browser, rgb(r, g, b), as #rrggbb."""
    channels = [int(part) for part in color[color.index("(") + 1 :].rstrip(")").split(",")[:3]]
    return "#" + "".join(f"{channel:02x}" for channel in channels)
