"""Do a million active series work, and does an explosion of labels take nothing down? Starts the program in a folder of its own, sends
three rounds of twenty metrics of 50,000 series by OTLP, asks, and sends 60,000 series more of one metric: python3 million.py PROGRAM."""
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

METRICS, SERIES, POINTS, SENDERS, ROUNDS = 20, 50_000, 2_500, 4, 3


class Program:
    """The program, by its process id."""

    def __init__(self, program):
        self.folder = tempfile.mkdtemp()
        places = [word for door in ("listen", "otlp-http", "otlp-grpc") for word in (f"--{door}", "127.0.0.1:0")]
        arguments = [program, "serve", "--data", f"{self.folder}/data", "--print-addresses", "--self-telemetry", "false"]
        self.process = subprocess.Popen(arguments + places, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        addresses = json.loads(self.process.stdout.readline())
        self.listen, self.otlp = f"http://{addresses['listen']}", f"http://{addresses['otlp_http']}"

    def memory(self):
        lines = open(f"/proc/{self.process.pid}/status").read().splitlines()
        of = lambda name: int(next(line for line in lines if line.startswith(name)).split()[1]) // 1024
        return f"{of('VmRSS')} MiB, peak {of('VmHWM')}"

    def cpu(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def end(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


def call(url, data=None, headers={}):
    while True:
        try:
            return urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=120).read().decode()
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                return error.read().decode()
            time.sleep(int(error.headers.get("Retry-After", 1)))


def send(program, sender, metric, first, count, time_ns, value):
    def label(key, value):
        return {"key": key, "value": {"stringValue": value}}

    def point(number):
        labels = [label("route", f"/r{number % 50}"), label("customer", f"c{number // 50}")]
        return {"timeUnixNano": str(time_ns), "asDouble": value + number % 7, "attributes": labels}

    points = [point(number) for number in range(first, first + count)]
    metrics = [{"name": metric, "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": points}}]
    resource = {"attributes": [label("service.name", f"of_{metric}")]}
    body = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
    headers = {"content-type": "application/json", "user-agent": sender}
    return call(f"{program.otlp}/v1/metrics", json.dumps(body).encode(), headers)


def deliver(program, number):
    began, cpu, time_ns, refused = time.time(), program.cpu(), time.time_ns(), set()

    def work(sender):
        for metric in range(sender, METRICS, SENDERS):
            for first in range(0, SERIES, POINTS):
                said = send(program, f"sender-{sender}", f"m{metric}", first, POINTS, time_ns, number * 10.0)
                refused.update({said} - {"{}"})

    threads = [threading.Thread(target=work, args=(sender,)) for sender in range(SENDERS)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    print(f"round {number}: {time.time() - began:.1f} s, {program.cpu() - cpu:.1f} CPU-s, {program.memory()}, refused: {refused or 'nothing'}")


def ask(program, path, **parameters):
    began = time.time()
    said = call(f"{program.listen}/prometheus/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
    print(f"{parameters.get('query', path)}: {time.time() - began:.3f} s, {program.memory()}: {said[:120]}")


program = Program(sys.argv[1])
try:
    for number in range(ROUNDS):
        deliver(program, number)
    for _ in range(2):
        ask(program, "query", query='count({__name__=~"m.*"})')
        ask(program, "query", query="sum by (route) (rate(m3_total[5m]))")
        ask(program, "query", query='m5_total{customer="c7", route="/r3"}')
        ask(program, "label/customer/values")
    print(send(program, "sender-0", "m0", SERIES, 60_000, time.time_ns(), 1.0))
    ask(program, "query", query="count(m0_total)")
    began = time.time()
    subprocess.run([sys.argv[1], "cardinality", "m0", "--since", "1h", "--url", program.listen])
    print(f"cardinality: {time.time() - began:.1f} s")
finally:
    program.end()
