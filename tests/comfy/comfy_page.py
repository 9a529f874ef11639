"""ComfyUI's own page in a headless browser: open, check, run, look."""

import json
import time
import urllib.parse

READY = """() => !!(window.app && ('isGraphReady' in app ? app.isGraphReady : app.graph)
  && app.extensionManager?.workflow?.activeWorkflow && document.querySelector('#graph-canvas'))"""

NODES = """() => {
  const known = LiteGraph.registered_node_types, found = []
  const walk = (graph, path) => { for (const node of graph.nodes) {
    const inner = node.isSubgraphNode?.() ? node.subgraph : null
    if (inner) walk(inner, path + node.id + ':')
    found.push({id: path + node.id, type: node.type, title: node.title, known: !!inner || node.type in known,
      error: !!node.has_errors, box: [...node.pos, ...node.size].map(Math.round),
      values: Object.fromEntries((node.widgets ?? []).map(w => [w.name, w.value])),
      bad: (node.widgets ?? []).filter(w => { let o = w.options?.values
        if (typeof o === 'function') o = o(w, node)
        return w.type === 'combo' && Array.isArray(o) && !o.includes(w.value) }).map(w => [w.name, w.value])})
  } }
  walk(app.rootGraph ?? app.graph, '')
  return found
}"""

SAYS = """() => [...document.querySelectorAll('[role="dialog"], .p-dialog, .comfy-modal, .p-toast-message,'
    + '[data-testid="error-overlay"], [data-testid*="missing-"], [data-testid*="error-card"]')]
  .filter(e => e.offsetParent !== null).map(e => e.innerText.trim()).filter(Boolean)"""

RUN = """async (limit) => {
  const api = app.api ?? window.comfyAPI.api.api, seen = {progress: 0, previews: 0}
  api.addEventListener('progress', () => seen.progress++)
  for (const name of ['b_preview', 'b_preview_with_metadata']) api.addEventListener(name, () => seen.previews++)
  const end = new Promise(done => {
    for (const name of ['execution_success', 'execution_error', 'execution_interrupted'])
      api.addEventListener(name, e => done({status: name, ...seen, detail: e.detail}), {once: true})
    setTimeout(() => done({status: 'timeout', ...seen}), limit * 1000)
  })
  await app.queuePrompt(0, 1)
  const refused = app.lastNodeErrors
  if (refused && Object.keys(refused).length) return {status: 'refused', detail: refused}
  return await end
}"""

MEDIA = """() => [...document.querySelectorAll('video, img')]
  .filter(e => (e.currentSrc || e.src).includes('/view?'))
  .map(e => ({kind: e.tagName, source: e.currentSrc || e.src, width: e.videoWidth ?? e.naturalWidth,
    ready: e.readyState ?? (e.complete ? 4 : 0), time: e.currentTime ?? 0, duration: e.duration ?? 0}))"""

DROP = """async ({url, name, type}) => {
  const data = await (await fetch(url)).blob(), transfer = new DataTransfer()
  transfer.items.add(new File([data], name, {type}))
  const canvas = document.querySelector('#graph-canvas'), box = canvas.getBoundingClientRect()
  const place = {clientX: box.x + 30, clientY: box.y + box.height - 30, bubbles: true, cancelable: true}
  for (const kind of ['dragenter', 'dragover', 'drop'])
    canvas.dispatchEvent(new DragEvent(kind, {...place, dataTransfer: transfer}))
}"""


class Page:
    """One tab. ``vue``: nodes drawn as page elements instead of on the canvas."""

    def __init__(self, server, browser, *, vue=False, size=(1800, 1100)):
        self.server, self.vue = server, vue
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        settings = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False, "Comfy.VueNodes.Enabled": vue}
        for name, value in settings.items():
            server.post(f"/settings/{name}", value)
        self.tab = self.context.new_page()
        self.problems = []
        self.tab.on("pageerror", lambda error: self.problems.append(str(error)))
        self.tab.goto(server.url, wait_until="domcontentloaded")
        self.tab.wait_for_function(READY, timeout=180_000)
        time.sleep(1.5)

    def close(self):
        self.context.close()

    def open(self, data, name="test"):
        """Open a workflow as the page does when a file is opened."""
        self.tab.evaluate("async ([data, name]) => { await app.loadGraphData(data, true, true, name) }", [data, name])
        time.sleep(2)
        self.command("Comfy.Canvas.FitView")

    def open_template(self, pack, name):
        """What a click in the template browser does: fetch what the server lists, then open it."""
        self.open(self.server.get(f"/api/workflow_templates/{pack}/{urllib.parse.quote(name)}.json"), name)

    def clear(self):
        self.tab.evaluate("() => { app.rootGraph ? app.rootGraph.clear() : app.graph.clear() }")

    def command(self, name):
        self.tab.evaluate("async name => { await app.extensionManager.command.execute(name) }", name)
        time.sleep(1.2)

    def nodes(self):
        return self.tab.evaluate(NODES)

    def says(self):
        """Text of dialogs, toasts and error panels."""
        return self.tab.evaluate(SAYS)

    def details(self):
        """Open what the page's note on errors leads to, the panel that lists them; older pages open one at once."""
        if not self.says():
            time.sleep(3)
        note = self.tab.get_by_text("View details")
        if note.count():
            note.first.click()
        time.sleep(2)

    def run(self, timeout=900):
        result = self.tab.evaluate(RUN, timeout)
        time.sleep(2)
        return result

    def media(self):
        return self.tab.evaluate(MEDIA)

    def drop(self, url, name, kind="video/mp4"):
        """Drop a file that the server has on the canvas."""
        self.tab.evaluate(DROP, {"url": url, "name": name, "type": kind})
        time.sleep(3)

    def queued_form(self):
        """(page form, execution form) of the graph, as the page would queue it."""
        return json.loads(
            self.tab.evaluate(
                "async () => { const p = await app.graphToPrompt(); return JSON.stringify([p.workflow, p.output]) }"
            )
        )

    def shot(self, path):
        self.tab.screenshot(path=str(path))
