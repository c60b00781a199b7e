"""Rendered scenes: liver, polyps, organs and fields to train on, generic ones to pretrain on.

aerial_objects  Objects of the aerial scenes: their outlines, known at any size, and their textures.
aerial_scene    Synthetic aerial scenes: ponds, tanks, halls and aircraft on ploughed fields.
generic_scenes  Procedural scenes for pretraining: layered lit surfaces, tools and bands, and no
                liver.
liver_domain    Where synthetic scenes come from: hospitals that differ in camera, light and
                tissue.
liver_geometry  The shapes of a synthetic laparoscopic scene: curves, depth and landmark lines.
objects         Objects of a scene with a box around each, for networks that are told by boxes.
liver_scene     Synthetic laparoscopic scenes: what the camera and a monocular depth estimate
                would show.
organ_atlas     An abdomen as a CT sees it: thirteen organs of an atlas.
polyp_scene     Synthetic colonoscopy scenes: a lobed polyp on folded mucosa, its outline known at
                any size.
rendered        Data sets that are rendered on first use, into a folder that is then read like any
                other.
rendered_masks  Those of one class with masks beside the images.
"""
