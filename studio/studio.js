// What the page does without the server. Each function belongs to one gr.HTML of page.py, which calls it once when it is
// on the page: element is its DOM, props its value and properties, watch(name, f) calls f after the server changed one.
window.studio = {
  // Rows of sliders; the value is {name: number}. Dragging only repaints; letting go, or a key, changes the value.
  faders(element, props, watch) {
    const paint = (input) => {
      const { min, max, value } = input;
      input.style.setProperty("--at", (value - min) / (max - min));
      const text = `${Math.round(100 * value)}`;
      element.querySelector(`output[for="${input.id}"]`).textContent = text;
      input.setAttribute("aria-valuetext", `${text} percent`);
      input.closest(".fader").classList.toggle("off", value <= min);
    };
    const show = () => {
      for (const input of element.querySelectorAll("input")) {
        if (!input.matches(":active")) input.value = props.value[input.name] ?? input.min; // not under somebody's finger
        paint(input);
      }
    };
    element.addEventListener("input", (event) => paint(event.target));
    element.addEventListener("change", (event) => {
      props.value = { ...props.value, [event.target.name]: Number(event.target.value) };
    });
    watch("value", show);
    watch("markup", () => { // other designers: what was set for one who has left goes with them
      const here = [...element.querySelectorAll("input")].map((input) => input.name);
      const kept = Object.entries(props.value).filter(([name]) => here.includes(name));
      if (kept.length < Object.keys(props.value).length) props.value = Object.fromEntries(kept);
      show();
    });
    show();
  },

  // The sketch, and the photograph over its left part up to a handle.
  comparison(element, props, watch) {
    const [paper, handle] = [element.querySelector(".paper"), element.querySelector("input")];
    const slide = () => paper.style.setProperty("--at", `${handle.value}%`);
    const show = () => {
      const { photo, sketch, alt, title, caption, note, width, height, model_ms } = props.value;
      Object.assign(element.querySelector("img.sketch"), { src: sketch, alt });
      Object.assign(element.querySelector("img.photo"), { src: photo, alt: `Photograph: ${title}` });
      element.querySelector(".title").textContent = title;
      element.querySelector(".blend").textContent = caption;
      element.querySelector(".note").textContent = note;
      paper.style.setProperty("--ratio", width / height);
      paper.parentElement.dataset.modelMs = model_ms; // for benchmarks/page.py
    };
    handle.addEventListener("input", slide);
    watch("value", show);
    slide();
    show();
  },

  // Pictures to choose from: each button carries its choice as JSON.
  picker(element, picked) {
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-choice]");
      if (button) picked({ choice: JSON.parse(button.dataset.choice) });
    });
  },

  // Words to choose from, one of a group; the value is {group: word}. A skirt has no sleeves: what cannot be rests.
  chips(element, props, lower) {
    const groups = [...element.querySelectorAll("fieldset")];
    element.addEventListener("change", () => {
      const word = (group) => group.querySelector("input:checked").value;
      const below = lower.includes(word(groups.find((group) => group.dataset.name === "category")));
      for (const group of groups) group.disabled = below && ["neckline", "sleeve"].includes(group.dataset.name);
      const chosen = groups.filter((group) => !group.disabled && word(group));
      props.value = Object.fromEntries(chosen.map((group) => [group.dataset.name, word(group)]));
    });
  },

  // How far it has come, with a preview; the button to begin gives way to the one to cancel.
  progress(element, props, watch, cancel) {
    const [image, text, spoken, bar, button] = ["img", "p", ".spoken", ".bar", "button"].map((part) => element.querySelector(part));
    const start = () => document.querySelector("#imagine-go");
    let phase = "idle";
    const show = () => {
      const { phase: now, text: words, share, preview } = props.value;
      const running = ["waiting", "loading", "imagining"].includes(now);
      text.textContent = words;
      text.classList.toggle("failed", now === "failed");
      image.hidden = !running || !preview;
      if (preview) image.src = preview;
      bar.firstElementChild.style.width = `${100 * share}%`;
      bar.setAttribute("aria-valuenow", Math.round(100 * share));
      element.dataset.phase = now;
      if (running) element.dataset.running = "";
      else delete element.dataset.running;
      if (now === phase) return; // the time that is left is not read out every second
      spoken.textContent = words;
      const lost = document.activeElement === document.body || document.activeElement === start() || document.activeElement === button;
      if (running && lost) button.focus();
      else if (lost && phase !== "idle") start()?.focus();
      button.disabled = false;
      phase = now;
    };
    button.addEventListener("click", () => {
      button.disabled = true;
      cancel();
    });
    watch("value", show);
    show();
  },

  // Bring a part of the page into view.
  show(place) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    document.querySelector(place).scrollIntoView({ behavior: still ? "instant" : "smooth" });
  },

  // A field with the link of the current blend; the server only knows what comes after the question mark. The link is also
  // remembered for this tab: a page that is loaded again, as Gradio does after a restart of the studio, goes on with it.
  link(element, props, watch) {
    const [field, button] = [element.querySelector("input"), element.querySelector("button")];
    const show = () => (field.value = `${location.origin}${location.pathname}?${props.value}`);
    button.addEventListener("click", async () => {
      field.select();
      // the clipboard interface needs https or localhost; the old command works everywhere
      const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
      button.textContent = copied || document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
      setTimeout(() => (button.textContent = "Copy link"), 2000);
    });
    watch("value", () => {
      show();
      try {
        sessionStorage.setItem("studio.link", props.value);
      } catch {} // some browsers forbid it: then nothing is remembered
    });
    show();
  },

  // What this tab showed before it was loaded again, or nothing.
  remembered() {
    const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
    try {
      return (again && sessionStorage.getItem("studio.link")) || "";
    } catch {
      return "";
    }
  },

  // A button that asks the server for a file and saves what comes back as {data, name}.
  download(element, props, watch, clicked) {
    element.querySelector("button").addEventListener("click", clicked);
    watch("value", () => {
      if (props.value.data) Object.assign(document.createElement("a"), { href: props.value.data, download: props.value.name }).click();
    });
  },

  // Asks what is new: often while the federation's tab is open, seldom otherwise, never while nobody looks. Another
  // edition (weights, designers) is told to the server's listeners, parts of the tab to whoever shows them.
  news: { parts: {}, at: 0, offset: 0 },
  following(element, props, changed) {
    const news = studio.news;
    let [edition, seen, failures] = [props.value, 0, 0];
    const ask = async () => {
      const tab = document.querySelector(".federation") !== null;
      if (!document.hidden) {
        try {
          const answer = await fetch(`studio/live?seen=${seen}&tab=${Number(tab)}`, { signal: AbortSignal.timeout(10000) });
          if (!answer.ok) throw new Error(answer.statusText);
          const { version, edition: latest, now, parts } = await answer.json();
          [seen, failures, news.offset] = [version, 0, now - Date.now() / 1000];
          Object.assign(news.parts, parts);
          document.dispatchEvent(new Event("studio:news"));
          if (latest !== edition) {
            edition = latest;
            changed();
          }
        } catch {
          failures += 1; // the studio restarts, or the way there is bad: it will be asked again
        }
      }
      setTimeout(ask, Math.min(30000, (tab ? 1000 : 2500) * 2 ** failures));
    };
    document.addEventListener("visibilitychange", () => document.dispatchEvent(new Event("studio:news")));
    ask();
  },

  // Places for parts of the news, and two rounds chosen among its checkpoints.
  federation(element, picked) {
    const shown = {};
    let chosen = [];
    const mark = () => {
      for (const button of element.querySelectorAll("[data-round]")) {
        const pressed = chosen.includes(Number(button.dataset.round));
        button.setAttribute("aria-pressed", pressed);
        button.textContent = pressed ? "Chosen" : "Compare";
      }
    };
    const duration = (seconds) => seconds >= 90 ? `${Math.round(seconds / 60)} min` : `${Math.max(0, Math.round(seconds))} s`;
    const tick = () => {
      const now = Date.now() / 1000 + studio.news.offset;
      for (const left of element.querySelectorAll("[data-deadline]")) left.textContent = `${duration(left.dataset.deadline - now)} left`;
      for (const next of element.querySelectorAll("[data-retry]")) {
        next.textContent = next.dataset.retry > now ? `Next try in ${duration(next.dataset.retry - now)}.` : "";
      }
    };
    const show = () => {
      if (!element.isConnected) return document.removeEventListener("studio:news", show);
      for (const place of element.querySelectorAll("[data-part]")) {
        const html = studio.news.parts[place.dataset.part] ?? "";
        if (shown[place.dataset.part] === html || place.matches(":active")) continue; // else a click under way is lost
        const focus = place.contains(document.activeElement) && document.activeElement.dataset.round;
        place.innerHTML = shown[place.dataset.part] = html; // escaped by the server
        if (focus) place.querySelector(`[data-round="${focus}"]`)?.focus();
        mark();
      }
      tick();
    };
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-round]");
      if (!button) return;
      const round = Number(button.dataset.round);
      chosen = chosen.includes(round) ? chosen.filter((n) => n !== round) : [...chosen.slice(-1), round];
      mark();
      picked(chosen);
      if (chosen.length === 2) document.querySelector("#compared")?.scrollIntoView({ block: "nearest" });
    });
    document.addEventListener("studio:news", show);
    show();
  },
};

// Gradio 6.31 gives every radio button a name of its own, so that each is a stop for Tab, and names the upload otherwise than
// it reads. Both are mended wherever they appear.
new MutationObserver(() => {
  for (const group of document.querySelectorAll("fieldset[id]")) {
    for (const input of group.querySelectorAll("input[type=radio]:not([name^='chip-'])")) {
      if (input.name !== group.id) input.name = group.id;
    }
  }
  for (const upload of document.querySelectorAll("button[aria-dropeffect][aria-label]")) upload.removeAttribute("aria-label");
}).observe(document, { childList: true, subtree: true });
