// What the companion's window does in the browser. As in studio.js, each function belongs to one gr.HTML; act(choice)
// hands a choice to the server. Everything that changes by itself comes as parts of "window/live".
Object.assign(window.studio, {
  window: { parts: {}, marks: {}, timer: 0, failures: 0, begun: false },

  // Asks the companion what is new, a second after it last answered. It goes on without this page, and this page without it.
  ask() {
    const known = studio.window;
    clearTimeout(known.timer);
    known.begun = true;
    const have = Object.entries(known.marks).map((pair) => pair.join(":")).join(",");
    fetch(`window/live?have=${have}`, { signal: AbortSignal.timeout(10000) })
      .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
      .then((changed) => {
        known.failures = 0;
        for (const [name, [mark, html]] of Object.entries(changed)) [known.marks[name], known.parts[name]] = [mark, html];
      })
      .catch(() => (known.failures += 1)) // it was closed, or is too busy for a moment
      .finally(() => {
        document.body.classList.toggle("lost", known.failures > 2);
        document.dispatchEvent(new Event("studio:window"));
        known.timer = setTimeout(studio.ask, document.hidden ? 5000 : 1000);
      });
  },

  // How long something has lasted, counted here, so that it moves even while nothing else does.
  elapsed() {
    for (const span of document.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, Math.round(Date.now() / 1000 - Number(span.dataset.since)));
      const minutes = Math.floor(seconds / 60);
      span.textContent = seconds < 3 ? "" : minutes ? `${minutes} min ${String(seconds % 60).padStart(2, "0")} s` : `${seconds} s`;
    }
  },

  // Places for parts, and all that can be pressed in them.
  places(element, act) {
    const shown = {};
    const say = (choice) => {
      act(choice);
      setTimeout(studio.ask, 250);
    };
    const show = () => {
      if (!element.isConnected) return document.removeEventListener("studio:window", show);
      for (const place of element.querySelectorAll("[data-part]")) {
        const html = studio.window.parts[place.dataset.part] ?? "";
        if (shown[place.dataset.part] === html) continue;
        const open = [...place.querySelectorAll("details[open][id]")].map((details) => details.id);
        const focus = place.contains(document.activeElement) ? document.activeElement.id : "";
        place.innerHTML = shown[place.dataset.part] = html; // escaped by the server
        for (const id of open) place.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
        if (focus) (place.querySelector(`#${CSS.escape(focus)}`) ?? place.querySelector(".choices button"))?.focus();
      }
      studio.elapsed();
    };
    element.addEventListener("click", async (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const { copy, box, how, do: what } = button.dataset;
      if (copy) {
        const line = document.querySelector(copy);
        const copied = await navigator.clipboard?.writeText(line.textContent).then(() => true, () => false);
        if (!copied) getSelection().selectAllChildren(line);
        button.textContent = copied || document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
        setTimeout(() => (button.textContent = button.dataset.label), 2000);
      } else if (box) {
        button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
      } else if (how) {
        const sheet = button.closest("[data-sheet]");
        const boxes = [...sheet.querySelectorAll('[data-box][aria-pressed="true"]')].map((b) => Number(b.dataset.box));
        const least = { again: 0, join: 2, part: 2 }[how] ?? 1;
        const hint = sheet.querySelector(".hint");
        if (boxes.length < least) hint.textContent = least === 2 ? "Choose two frames or more first." : "Choose a frame first.";
        else say({ do: "correct", sheet: sheet.dataset.sheet, how, boxes });
      } else if (what) {
        if (button.dataset.once !== undefined) button.disabled = true;
        say({ do: what, what: button.dataset.what ?? "" });
      }
    });
    document.addEventListener("studio:window", show);
    if (!studio.window.begun) {
      studio.ask();
      setInterval(studio.elapsed, 1000);
    }
    show();
  },

  // What kind of drawings, and where to drop them: files or folders are copied to the server one by one, as they are.
  drop(element, act) {
    const message = element.querySelector(".copying");
    const choose = (kind) => (element.querySelector(`input[value="${kind}"]`).checked = true);
    choose(element.querySelector("[data-kind]").dataset.kind);
    let shown = "";
    document.addEventListener("studio:window", () => {
      const { kind, folder } = studio.window.parts; // as another page, or this one before it was loaded again, left them
      if (!kind || `${kind} ${folder}` === shown) return;
      shown = `${kind} ${folder}`;
      choose(kind);
      const path = element.querySelector("#own-folder");
      if (folder && path !== document.activeElement) path.value = folder;
    });
    element.addEventListener("change", (event) => {
      const { name, value, files, dataset } = event.target;
      if (name === "kind") act({ do: "choose", what: value });
      if (files) {
        copy(dataset.place, [...files].map((file) => [file.webkitRelativePath || file.name, file]));
        event.target.value = "";
      }
    });
    element.addEventListener("click", (event) => {
      if (event.target.dataset.folder !== undefined) act({ do: "name", what: element.querySelector("#own-folder").value });
    });
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.id === "own-folder") act({ do: "name", what: event.target.value });
    });
    for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
      element.addEventListener(kind, (event) => {
        const zone = event.target.closest(".zone");
        if (!zone) return;
        event.preventDefault();
        zone.classList.toggle("over", kind === "dragenter" || kind === "dragover");
        if (kind === "drop") {
          const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
          Promise.all(entries.map((entry) => within(entry, ""))).then((lists) => copy(zone.dataset.place, lists.flat()));
        }
      });
    }

    // -> [path, file] of everything in a dropped folder
    const within = async (entry, before) => {
      const path = before + entry.name;
      if (entry.isFile) return [[path, await new Promise((done, failed) => entry.file(done, failed))]];
      const [reader, found] = [entry.createReader(), []];
      for (;;) { // a hundred at a time, until there are none
        const some = await new Promise((done, failed) => reader.readEntries(done, failed));
        if (!some.length) return found;
        found.push(...(await Promise.all(some.map((inner) => within(inner, `${path}/`)))).flat());
      }
    };

    const copy = async (place, all) => {
      const parent = (path) => path.split("/").at(-2)?.toLowerCase();
      const files = all.filter(([path]) => !/(^|\/)(\.|Thumbs\.db$|desktop\.ini$)/.test(path));
      const pairs = ["photos", "sketches"].every((name) => files.some(([path]) => parent(path) === name));
      const to = (path) => (pairs ? { photos: "photos", sketches: "partners" }[parent(path)] : place);
      const [queue, refused] = [files.filter(([path]) => to(path)), []];
      const total = queue.length;
      if (!total) return;
      let done = 0;
      const tell = () => (message.textContent = `Copying ${done} of ${total}…`);
      tell();
      await Promise.all([1, 2, 3].map(async () => {
        for (let next = queue.shift(); next; next = queue.shift()) {
          const [path, file] = next;
          const answer = await fetch(`window/drawings/${to(path)}?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file })
            .then((a) => a.json(), () => ({ error: "the window does not answer" }));
          if (answer.error) refused.push(`${file.name}: ${answer.error}`);
          done += 1;
          tell();
        }
      }));
      message.textContent = refused.length ? `Not copied: ${refused.slice(0, 5).join("; ")}${refused.length > 5 ? ` and ${refused.length - 5} more` : ""}` : "";
      const kind = pairs ? "pairs" : { photos: "pairs", partners: "pairs" }[place] ?? place;
      choose(kind);
      act({ do: "dropped", what: kind });
      setTimeout(studio.ask, 250);
    };
  },
});
