"""Make the project ready to run: the virtual environment, the front-end parts, the translations.

It is run by the machine's own Python with nothing but the standard library, by `make`:

    setup.py run       what `make run` needs (this is what no argument means, too)
    setup.py tests     and what the tests need: the tools, Chromium, Chinese fonts and SoftHSM
    setup.py bench     and what the benchmarks compare us with
    setup.py analysis  what looks through the code for faults, in an environment of its own
    setup.py reset     stop the demo and empty its data

Each step leaves a stamp, so that a second run finds nothing to do and takes a tenth of a second.
Paths are handed over as argument lists and never through a shell: the folder's name may hold
spaces and Chinese characters.
"""

import sys

if sys.version_info < (3, 11):  # Said before anything newer than Python 3.0 is met below.
    sys.exit("Python 3.11 or later is needed: make PYTHON=python3.11; this is " + sys.version[:6])

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
VAR = ROOT / "var"
VENDOR = ROOT / "app" / "static" / "vendor"
TRANSLATIONS = ROOT / "translations"

# Where each file of an npm package goes beneath app/static/vendor/.
FRONT_END = {
    "@tabler/core/dist/css/tabler.min.css": "tabler/tabler.min.css",
    "@tabler/core/dist/js/tabler.min.js": "tabler/tabler.min.js",
    "@tabler/icons-webfont/dist/tabler-icons.min.css": "icons/tabler-icons.min.css",
    "@tabler/icons-webfont/dist/fonts/tabler-icons.woff2": "icons/fonts/tabler-icons.woff2",
    "flatpickr/dist/flatpickr.min.css": "flatpickr/flatpickr.min.css",
    "flatpickr/dist/flatpickr.min.js": "flatpickr/flatpickr.min.js",
    "flatpickr/dist/l10n/zh.js": "flatpickr/zh.js",
    "echarts/dist/echarts.common.min.js": "echarts/echarts.min.js",
    # Not for pages: the font of attestations.
    "@expo-google-fonts/noto-serif-sc/400Regular/NotoSerifSC_400Regular.ttf": "fonts/regular.ttf",
    "@expo-google-fonts/noto-serif-sc/700Bold/NotoSerifSC_700Bold.ttf": "fonts/bold.ttf",
    "@expo-google-fonts/noto-serif-sc/LICENSE_FONT": "fonts/LICENSE",
}
SBIN = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
# Debian's package of a font with the ideographs that Noto Serif SC lacks (CJK extensions B to F).
RARE_FONT = {
    "package": "fonts-hanazono",
    "file": "usr/share/fonts/truetype/hanazono/HanaMinB.ttf",
    "sha256": "829543436cdf7b4c6730e2af5806fa406f8ddf0d4b656e0cd49c58d4db1c8d3c",
    "target": "fonts/rare.ttf",
}


def main(command="run"):
    """Carry out one of the commands named above."""
    if command == "reset":
        return reset()
    if command == "analysis":
        return install_analysis()
    if command not in ("run", "tests", "bench"):
        raise SystemExit(__doc__)
    with only_one():
        make_environment()
        extra = {"tests": "requirements-dev.txt", "bench": "requirements-bench.txt"}
        install_packages("requirements.txt")
        if command in extra:
            install_packages(extra[command])
        copy_front_end()
        fetch_rare_font()
        compile_translations()
    if command == "tests":
        install_system_packages()
    return None


# The virtual environment


def make_environment():
    """Create .venv, or create it anew when this folder was moved or Python was replaced."""
    stamp = VENV / ".made-by"
    expected = fingerprint(ROOT, sys.version)
    if read(stamp) == expected and PYTHON.exists():
        return
    say("creating the virtual environment in .venv")
    arguments = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if subprocess.call(arguments, stdout=subprocess.DEVNULL) != 0:
        # Separate package in Debian and Ubuntu.
        apt_install(["python3-venv"], why="to create a virtual environment")
        run(arguments)
    stamp.write_text(expected)


def install_packages(name):
    """Install the pinned packages of one requirements file, whose hashes pip verifies."""
    stamp = VENV / (".installed-" + name)
    requirements = ROOT / name
    expected = fingerprint(requirements.read_bytes())
    if read(stamp) == expected:
        return
    say("installing the packages of " + name)
    pip = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    # Wheels only, so that no package code runs at set-up, except the one without wheels.
    binary = ["--only-binary", ":all:", "--no-binary", "django-hordak"]
    run([*pip, "--no-input", "--require-hashes", *binary, "-r", str(requirements)])
    stamp.write_text(expected)


def install_analysis():
    """Install the tools of static analysis, whose requirements conflict with the program's."""
    with only_one():
        make_environment()
        environment = VENV / "analysis"
        python = environment / "bin" / "python"
        stamp = environment / ".installed"
        requirements = ROOT / "requirements-analysis.txt"
        expected = fingerprint(requirements.read_bytes())
        if read(stamp) == expected and python.exists():
            return
        say("installing the tools of static analysis")
        run([str(PYTHON), "-m", "venv", "--clear", str(environment)])
        pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        options = ["--no-input", "--require-hashes", "--only-binary", ":all:"]
        run([*pip, *options, "-r", str(requirements)])
        stamp.write_text(expected)


# The front-end parts


def copy_front_end():
    """Fetch the pinned npm packages and copy the few files that pages load; nothing is built."""
    stamp = VENDOR / ".made-by"
    sources = [ROOT / "package.json", ROOT / "package-lock.json"]
    expected = fingerprint(*(path.read_bytes() for path in sources), json.dumps(FRONT_END))
    if read(stamp) == expected:
        return
    say("fetching the front-end parts")
    work = VAR / "front-end"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for path in [*sources, ROOT / ".npmrc"]:
        shutil.copy(path, work)
    npm, environment = find_npm()
    # Without running packages' scripts.
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    run(
        [npm, "ci", "--ignore-scripts", *quiet],
        cwd=work,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    fresh = VENDOR.with_name("vendor.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for source, target in FRONT_END.items():
        copy_part(work / "node_modules" / source, fresh / target)
    (fresh / ".made-by").write_text(expected)
    shutil.rmtree(VENDOR, ignore_errors=True)
    fresh.rename(VENDOR)
    shutil.rmtree(work)


def copy_part(source, target):
    """Copy one file, without the reference to a source map that we do not serve."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = source.read_bytes()
    if source.suffix in (".css", ".js"):
        lines = content.decode().splitlines(keepends=True)
        content = "".join(line for line in lines if "# sourceMappingURL=" not in line[:25]).encode()
    target.write_bytes(content)


def fetch_rare_font():
    """Fetch the font of rare ideographs from Debian's package, without installing it.

    Optional: without it names with such characters are refused.
    """
    target = VENDOR / RARE_FONT["target"]
    if target.exists():
        return
    installed = Path("/") / RARE_FONT["file"]
    work = VAR / "rare-font"
    if not installed.exists():
        if not unpack(RARE_FONT["package"], work):
            say(
                f"no font for rare names: apt-get install {RARE_FONT['package']}, then set up again"
            )
            return
        installed = work / RARE_FONT["file"]
    content = installed.read_bytes()
    if hashlib.sha256(content).hexdigest() != RARE_FONT["sha256"]:
        say("the font for rare names is another than the one tested; it is not used")
        return
    target.write_bytes(content)
    shutil.rmtree(work, ignore_errors=True)


def unpack(package, folder):
    """Unpack a Debian package into an empty folder without installing it; tell whether it worked."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = f"apt-get download -qq {package} && dpkg-deb -x *.deb . && rm *.deb"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


def find_npm():
    """Return npm and its environment; installs it with pip where there is none."""
    npm = shutil.which("npm")
    if npm and shutil.which("node"):
        return npm, None
    install_packages("requirements-node.txt")
    path = str(VENV / "bin") + os.pathsep + os.environ.get("PATH", os.defpath)
    return str(VENV / "bin" / "npm"), {**os.environ, "PATH": path}


def compile_translations():
    """Compile each catalogue that is newer than its compiled form."""
    for catalogue in sorted(TRANSLATIONS.glob("*/LC_MESSAGES/*.po")):
        compiled = catalogue.with_suffix(".mo")
        if compiled.exists() and compiled.stat().st_mtime > catalogue.stat().st_mtime:
            continue
        babel = [str(PYTHON), "-m", "babel.messages.frontend", "--quiet", "compile"]
        run([*babel, "-i", str(catalogue), "-o", str(compiled)])


# System packages


def install_system_packages():
    """Install Chromium, Chinese fonts, SoftHSM and openssl, or say what to install."""
    missing = []
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        missing.append("chromium")
    if not has_chinese_font():
        missing.append("fonts-noto-cjk")
    # SoftHSM for tests and demonstration, openssl to check certificates.
    missing += [
        package
        for package, program in (("softhsm2", "softhsm2-util"), ("openssl", "openssl"))
        if not shutil.which(program)
    ]
    if missing:
        apt_install(missing, why="for the tests that drive a browser and a token")
    # Unpacked: installed, it would serve on port 80 from then on.
    nginx = VAR / "nginx"
    if not (shutil.which("nginx", path=SBIN) or (nginx / "usr/sbin/nginx").exists()):
        unpack("nginx", nginx) or apt_install(["nginx"], why="to test the sample of its settings")


def has_chinese_font():
    """Tell whether fontconfig knows a font with simplified Chinese."""
    if not shutil.which("fc-list"):
        return False
    fonts = subprocess.run(["fc-list", ":lang=zh-cn"], capture_output=True, check=False)
    return bool(fonts.stdout.strip())


def apt_install(packages, why):
    """Install system packages where permitted; otherwise exit with the command to run."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or (sudo and not is_allowed([*sudo, "true"])):
        sys.exit("install, %s: sudo apt-get install -y %s" % (why, " ".join(packages)))
    say("installing " + " ".join(packages) + " " + why)
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    run([*apt, "update"])
    run([*apt, "install", "-y", "--no-install-recommends", *packages], stdout=subprocess.DEVNULL)


def is_allowed(arguments):
    """Tell whether a command exists and succeeds, without output."""
    if not shutil.which(arguments[0]):
        return False
    return subprocess.run(arguments, capture_output=True, check=False).returncode == 0


# Emptying the demo


def reset():
    """Stop the processes that use this folder's data and remove the data."""
    for file in sorted(VAR.glob("*/server-*.pid")):
        stop_server(file)
    for lock in sorted(VAR.glob("*/users.lock")):
        if PYTHON.exists():
            run([str(PYTHON), str(ROOT / "app" / "embedded.py"), "stop", str(lock.parent)])
    if VAR.exists():
        shutil.rmtree(VAR)
    say("the data is gone; `make run` begins anew")


def stop_server(file):
    """Stop the server of this pid file, and wait until it has ended."""
    try:
        pid = int(file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (ValueError, OSError):
        return
    if b"app.py" not in command:
        return  # the pid was reused
    say("stopping the server")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        for _ in range(150):
            os.kill(pid, 0)
            time.sleep(0.2)


# Helpers


@contextlib.contextmanager
def only_one():
    """Hold the lock of set-up; a second run waits and then finds nothing to do."""
    VAR.mkdir(exist_ok=True)
    with (VAR / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fingerprint(*parts):
    """Return one hash over texts, bytes and paths."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def read(path):
    """Return a stamp's text, or ""."""
    return path.read_text() if path.exists() else ""


def say(words):
    """Print progress."""
    print("··· " + words, flush=True)


def run(arguments, **options):
    """Run a program; exit with its code when it fails."""
    code = subprocess.call(arguments, **options)
    if code != 0:
        sys.exit("failed (%d): %s" % (code, " ".join(str(part) for part in arguments)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
