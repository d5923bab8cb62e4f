"""A real Chromium for the tests of the dashboard, and servers from the harness of the API tests."""
import json
import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/api"))

import harness  # noqa: E402
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

SCREENS = ROOT / "build/screens"
PHONE, WIDE = (390, 844), (1280, 900)


class Browser:
    """One window. Every wait is for something that a user would see."""

    def __init__(self, size=WIDE, dark=False):
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1", "--window-size=%d,%d" % size):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.size, self.dark, self.allowed = size, dark, []
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def open(self, url, title=None):
        self.driver.get(url)
        self.settled(title)

    def go(self, path, title=None):
        """Another page of the dashboard, without loading it again."""
        self.js("location.hash = arguments[0]", path)
        self.settled(title)

    def settled(self, title=None):
        self.until("return document.querySelector('main h1') && !document.querySelector('main[aria-busy]')" + (" && document.title.startsWith(%s)" % json.dumps(title) if title else ""), "the page %s" % (title or ""))

    def until(self, script, what, seconds=30, arguments=()):
        """The value of the script, when it is true."""
        end = time.monotonic() + harness.patience(seconds)
        while True:
            value = self.js(script, *arguments)
            if value:
                return value
            assert time.monotonic() < end, "waited for %s; the page says: %s" % (what, self.text()[:1500])
            time.sleep(0.02)

    def text(self, selector="main"):
        return self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def sees(self, text, seconds=30, where="main"):
        self.until("return document.querySelector(arguments[1])?.innerText.includes(arguments[0])", "the text %r" % text, seconds, (text, where))

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        self.until("return document.querySelector(arguments[0])", selector, arguments=(selector,))
        return self.all(selector)[0]

    def button(self, label):
        """By what it says, or by its name for screen readers."""
        find = "return [...document.querySelectorAll('button, a.button')].find(b => !b.disabled && (b.textContent.trim() === arguments[0] || b.getAttribute('aria-label') === arguments[0]))"
        return self.until(find, "the button %r" % label, arguments=(label,))

    def press(self, label):
        button = self.button(label)
        self.js("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()

    def control(self, label):
        """The control of a label."""
        find = "const l = [...document.querySelectorAll('label')].find(l => l.textContent.trim() === arguments[0]); return l && (l.control ?? l.querySelector('input, select'))"
        return self.until(find, "the control %r" % label, arguments=(label,))

    def enter(self, label, value):
        """Types into a field, or chooses of a list, as events that a user causes."""
        self.js("""const [c, v] = arguments; c.focus(); c.value = v;
            c.dispatchEvent(new Event('input', {bubbles: true})); c.dispatchEvent(new Event('change', {bubbles: true}));""", self.control(label), value)

    def screenshot(self, name):
        SCREENS.mkdir(parents=True, exist_ok=True)
        height = min(4000, self.js("return document.documentElement.scrollHeight"))
        metrics = {"width": self.size[0], "deviceScaleFactor": 1, "mobile": self.size[0] < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": max(self.size[1], height)})
        self.driver.save_screenshot(str(SCREENS / ("%s-%s-%s.png" % (name, "phone" if self.size == PHONE else "wide", "dark" if self.dark else "light"))))
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": self.size[1]})

    def errors(self):
        """What the console has said since the last call, without what a test has allowed."""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING") and not any(part in entry["message"] for part in self.allowed)]

    def fits(self):
        """What makes the page wider than its window, or None."""
        return self.js("""const w = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= w) return null;
            return ['too wide', w, [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > w + 1 && !e.closest('.scroll, .tabs, pre')).slice(0, 5).map(e => e.outerHTML.slice(0, 150))]""")

    def axe(self, script):
        """Violations of the rules of axe-core for WCAG 2.1 A and AA."""
        if not self.js("return typeof axe === 'object'"):
            self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": script})
        found = self.driver.execute_async_script("""const done = arguments[0];
            axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}).then(r => done(r.violations.map(v => [v.id, v.help, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' ' + (n.any[0]?.message ?? ''))])), e => done([[String(e)]]))""")
        return found

    def close(self):
        self.driver.quit()


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, or None where npm cannot bring it."""
    found = subprocess.run([ROOT / "tests/browser/axe.sh"], capture_output=True, text=True, timeout=300)
    return pathlib.Path(found.stdout.strip()).read_text() if found.returncode == 0 else None


@pytest.fixture
def window():
    """Opens windows, and closes them; none may leave an error in its console."""
    opened = []

    def open_window(**options):
        opened.append(Browser(**options))
        return opened[-1]

    yield open_window
    try:
        for browser in opened:
            assert browser.errors() == []
    finally:
        for browser in opened:
            browser.close()


@pytest.fixture
def fresh():
    """Servers that end with the test."""
    servers = []

    def start(*flags, **options):
        servers.append(harness.Server(*flags, **options))
        return servers[-1]

    yield start
    for server in servers:
        assert server.stop() == 0
        server.remove()
