// The dialog that repairs a cut-out: it keeps the strokes, draws them at once, and asks the server where the outline goes.
studio.repair = (element, props, watch, trigger, limits) => {
  const find = (selector) => element.querySelector(selector);
  const [dialog, canvas, photo, drawn, status, size] = ["dialog", "canvas", ".photo img", ".drawn", ".status", ".size input"].map(find);
  const [undo, redo, reset] = [".undo", ".redo", ".reset"].map(find);
  const colours = { true: "rgba(28, 104, 196, 0.55)", false: "rgba(196, 52, 30, 0.55)" };
  let outline = []; // polygons, in units: limits.unit is the photograph's long side
  let [history, at] = [[[]], 0]; // lists of strokes, and which one counts
  let [version, answered, asked] = [0, 0, 0]; // of the strokes: the newest, the last that was answered, the last that was sent
  let stroke = null; // the one that is being painted
  let brush = null; // where the brush is, in units
  let [byKeys, down, frame, timer] = [false, false, 0, 0];

  const belongs = () => find("input[name=repair-brush]:checked").value === "true";
  const radius = () => Number(size.value);
  const strokes = () => history[at];
  const scale = () => canvas.width / (limits.unit * Math.min(1, photo.naturalWidth / photo.naturalHeight)); // px of the canvas a unit

  // -- what is shown ---------------------------------------------------------------------------------------------------

  const repaint = () => {
    if (!frame) frame = requestAnimationFrame(paint);
  };
  const paint = () => {
    frame = 0;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const [context, s] = [canvas.getContext("2d"), scale()];
    context.clearRect(0, 0, width, height);
    context.lineCap = context.lineJoin = "round";
    const path = new Path2D();
    for (const points of outline) {
      path.moveTo(points[0] * s, points[1] * s);
      for (let i = 2; i < points.length; i += 2) path.lineTo(points[i] * s, points[i + 1] * s);
      path.closePath();
    }
    if (outline.length) { // what is left out pales
      const around = new Path2D(path);
      around.rect(0, 0, width, height);
      context.fillStyle = "rgba(255, 255, 255, 0.5)";
      context.fill(around, "evenodd");
    }
    const line = (what, colours) => { // two tones: one of them shows on any cloth
      for (const [colour, thick, dash] of colours) {
        Object.assign(context, { strokeStyle: colour, lineWidth: thick * ratio });
        context.setLineDash(dash.map((part) => part * ratio));
        context.stroke(what);
      }
      context.setLineDash([]);
    };
    line(path, [["#fff", 4, []], ["#1d1b18", 2, []]]);
    const shown = strokes().slice(answered >= version ? strokes().length : 0);
    for (const { belongs: kind, radius: r, points } of stroke ? [...shown, stroke] : shown) {
      context.strokeStyle = context.fillStyle = colours[kind];
      context.lineWidth = 2 * r * s;
      context.beginPath();
      if (points.length === 2) context.arc(points[0] * s, points[1] * s, r * s, 0, 7);
      for (let i = 0; points.length > 2 && i < points.length; i += 2) context.lineTo(points[i] * s, points[i + 1] * s);
      if (points.length === 2) context.fill();
      else context.stroke();
    }
    if (brush && (!byKeys || document.activeElement === canvas)) {
      const [x, y, r] = [brush[0] * s, brush[1] * s, Math.max(3 * ratio, radius() * s)];
      const ring = new Path2D();
      ring.arc(x, y, r, 0, 7);
      line(ring, [["#fff", 4, []], [belongs() ? "#1c68c4" : "#b3261e", 2, []]]);
      const [sign, arm] = [new Path2D(), Math.min(r / 2, 6 * ratio)];
      sign.moveTo(x - arm, y);
      sign.lineTo(x + arm, y);
      if (belongs()) {
        sign.moveTo(x, y - arm);
        sign.lineTo(x, y + arm);
      }
      line(sign, [["#fff", 4, []], [belongs() ? "#1c68c4" : "#b3261e", 2, []]]);
    }
  };
  const refresh = () => {
    [undo.disabled, redo.disabled, reset.disabled] = [at === 0, at === history.length - 1, strokes().length === 0];
    size.setAttribute("aria-valuetext", `${((100 * radius()) / limits.unit).toFixed(1)} percent of the picture`);
    repaint();
  };
  const say = (text, busy = false) => {
    status.textContent = text;
    dialog.toggleAttribute("data-busy", busy);
  };

  // -- strokes ---------------------------------------------------------------------------------------------------------

  const send = () => {
    version += 1;
    say("Following the edge …", true);
    if (answered === asked) ask();
    refresh();
  };
  const ask = () => { // one at a time, with all strokes: what was painted meanwhile is sent after the answer
    asked = version;
    drawn.parentElement.toggleAttribute("data-waits", true);
    trigger("select", { strokes: strokes(), version });
    clearTimeout(timer);
    timer = setTimeout(() => {
      answered = asked;
      say("The studio does not answer: paint once more, or close this and open it again.");
    }, 30000);
  };
  const change = (next) => {
    history = [...history.slice(0, at + 1), next];
    at += 1;
    send();
  };
  const step = (by) => {
    if (!history[at + by]) return;
    at += by;
    send();
  };
  const begin = (x, y) => {
    stroke = { belongs: belongs(), radius: radius(), points: [x, y] };
    repaint();
  };
  const go = (x, y) => {
    const [lastX, lastY] = stroke.points.slice(-2);
    if (Math.hypot(x - lastX, y - lastY) >= Math.max(12, stroke.radius / 3)) stroke.points.push(x, y);
    repaint();
  };
  const finish = () => {
    const [done, before] = [stroke, strokes()];
    stroke = null;
    down = false;
    if (!done) return;
    const points = [...before, done].reduce((sum, one) => sum + one.points.length / 2, 0);
    if (before.length >= limits.strokes || points > limits.points) {
      say("There is no room for more strokes: undo some, or paint with a larger brush.");
      return refresh();
    }
    change([...before, done]);
  };
  const drop = () => {
    [stroke, down] = [null, false];
    repaint();
  };

  // -- by mouse, pen and finger ----------------------------------------------------------------------------------------

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const units = limits.unit / Math.max(box.width, box.height);
    const clamp = (value, length) => Math.round(Math.min(Math.max(value, 0), length) * units);
    return [clamp(event.clientX - box.left, box.width), clamp(event.clientY - box.top, box.height)];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (stroke) return drop(); // a second finger
    if (event.button !== 0 || !photo.naturalWidth) return;
    byKeys = false;
    canvas.setPointerCapture(event.pointerId);
    brush = place(event);
    begin(...brush);
  });
  canvas.addEventListener("pointermove", (event) => {
    byKeys = false;
    brush = place(event);
    if (stroke && !down) for (const each of event.getCoalescedEvents?.() ?? [event]) go(...place(each));
    repaint();
  });
  canvas.addEventListener("pointerup", () => !down && finish());
  canvas.addEventListener("pointercancel", drop);
  canvas.addEventListener("pointerleave", (event) => {
    if (!stroke && !byKeys) brush = null;
    repaint();
  });

  // -- by keys ---------------------------------------------------------------------------------------------------------

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const choose = (value) => {
    find(`input[name=repair-brush][value=${value}]`).checked = true;
    say(value ? "Brush: belongs." : "Brush: does not belong.");
    repaint();
  };
  const grow = (factor) => {
    size.value = Math.max(Number(size.min), Math.round(radius() * factor));
    refresh();
  };
  const onCanvas = (event) => {
    const move = moves[event.key];
    if (move) {
      const [w, h] = [photo.naturalWidth, photo.naturalHeight].map((side) => (limits.unit * side) / Math.max(photo.naturalWidth, photo.naturalHeight));
      const far = event.shiftKey ? 8 : Math.max(24, radius() / 2);
      byKeys = true;
      brush = [brush[0] + far * move[0], brush[1] + far * move[1]].map((value, i) => Math.round(Math.min(Math.max(value, 0), [w, h][i])));
      if (down) go(...brush);
    } else if (event.key === " " || event.key === "Enter") {
      if (event.repeat) return true;
      byKeys = true;
      if (event.key === "Enter" && down) finish();
      else if (!down) {
        down = true;
        begin(...brush);
      }
    } else return false;
    repaint();
    return true;
  };
  dialog.addEventListener("keydown", (event) => {
    if (document.activeElement === canvas && !(event.ctrlKey || event.metaKey) && onCanvas(event)) return event.preventDefault();
    const key = event.key.toLowerCase();
    const control = event.ctrlKey || event.metaKey;
    const known = control
      ? { z: () => step(event.shiftKey ? 1 : -1), y: () => step(1) }
      : { b: () => choose(true), n: () => choose(false), "+": () => grow(1.25), "=": () => grow(1.25), "-": () => grow(0.8), "−": () => grow(0.8) };
    if (event.altKey || !known[key]) return;
    event.preventDefault();
    known[key]();
  });
  canvas.addEventListener("keyup", (event) => {
    if (event.key === " " && down) finish();
  });
  canvas.addEventListener("focus", () => {
    if (!brush) brush = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round((limits.unit * side) / 2 / Math.max(canvas.clientWidth, canvas.clientHeight)));
    byKeys = canvas.matches(":focus-visible");
    repaint();
  });
  canvas.addEventListener("blur", () => (down ? finish() : repaint()));

  // -- the dialog ------------------------------------------------------------------------------------------------------

  find(".open").addEventListener("click", () => {
    dialog.showModal();
    say("Looking for the outline …", true);
    trigger("click");
  });
  find(".done").addEventListener("click", () => dialog.close());
  dialog.addEventListener("cancel", (event) => { // Escape drops a stroke first
    if (!stroke) return;
    event.preventDefault();
    drop();
  });
  undo.addEventListener("click", () => step(-1));
  redo.addEventListener("click", () => step(1));
  reset.addEventListener("click", () => change([]));
  size.addEventListener("input", refresh);
  element.addEventListener("change", repaint);
  new ResizeObserver(repaint).observe(canvas);
  photo.addEventListener("load", repaint);

  const show = () => {
    const { photo: source, error, outline: found, strokes: before, version: of } = props.value;
    if (source) { // it was opened
      [version, answered, asked, outline, brush] = [0, 0, 0, found, null];
      [history, at] = [[before], 0];
      if (before.length) [history, at] = [[[], before], 1];
      Object.assign(photo, { src: source });
      photo.parentElement.style.setProperty("--ratio", props.value.width / props.value.height);
      drawn.src = document.querySelector("#comparison img.sketch").src;
      canvas.focus();
      say(error);
    } else if (of === undefined) return;
    else if (!of) say(error);
    else {
      clearTimeout(timer);
      answered = of;
      if (found) outline = found;
      else drawn.parentElement.toggleAttribute("data-waits", false);
      say(error || "The outline has followed.");
      if (version > of) ask();
    }
    refresh();
  };
  watch("value", show);

  // the sketch beside it is the page's own
  new MutationObserver(() => {
    const sketch = document.querySelector("#comparison img.sketch");
    if (!sketch || !dialog.open) return;
    drawn.src = sketch.src;
    drawn.parentElement.toggleAttribute("data-waits", answered < version);
  }).observe(document.querySelector("#comparison"), { subtree: true, attributes: true, attributeFilter: ["src"] });
  refresh();
};
